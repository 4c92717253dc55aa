"""What was really learnt."""

from lookahead.evaluation.gradients import gradient_signal
from lookahead.evaluation.intervals import Interval, proportion
from lookahead.evaluation.measures import evaluate, evaluate_each

__all__ = ["Interval", "evaluate", "evaluate_each", "gradient_signal", "proportion"]
