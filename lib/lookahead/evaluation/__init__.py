"""What was really learnt."""

from lookahead.evaluation.gradients import gradient_signal
from lookahead.evaluation.intervals import Interval, proportion
from lookahead.evaluation.measures import evaluate

__all__ = ["Interval", "evaluate", "gradient_signal", "proportion"]
