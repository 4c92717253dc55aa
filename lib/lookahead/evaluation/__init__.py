"""What was really learnt."""

from lookahead.evaluation.gradients import gradient_signal
from lookahead.evaluation.intervals import Interval, proportion
from lookahead.evaluation.measures import evaluate, evaluate_each
from lookahead.evaluation.seeds import TimeToSuccess, across_seeds, time_to_success

__all__ = [
    "Interval",
    "TimeToSuccess",
    "across_seeds",
    "evaluate",
    "evaluate_each",
    "gradient_signal",
    "proportion",
    "time_to_success",
]
