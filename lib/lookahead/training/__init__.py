"""One training loop, counted in steps everywhere."""

from lookahead.training.loop import Trained, train
from lookahead.training.settings import Settings

__all__ = ["Settings", "Trained", "train"]
