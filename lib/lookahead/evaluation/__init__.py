"""What was really learnt."""

from lookahead.evaluation.costs import Cost, cost
from lookahead.evaluation.gradients import gradient_signal
from lookahead.evaluation.layouts import asked, layout
from lookahead.evaluation.measures import evaluate, evaluate_each, evaluate_on
from lookahead.evaluation.probes import linear_accuracy, probe_rungs, residual_stream
from lookahead.evaluation.statistics import Interval, TimeToSuccess, across_seeds, proportion, time_to_success, trials

__all__ = [
    "Cost",
    "Interval",
    "TimeToSuccess",
    "across_seeds",
    "asked",
    "cost",
    "evaluate",
    "evaluate_each",
    "evaluate_on",
    "gradient_signal",
    "layout",
    "linear_accuracy",
    "probe_rungs",
    "proportion",
    "residual_stream",
    "time_to_success",
    "trials",
]
