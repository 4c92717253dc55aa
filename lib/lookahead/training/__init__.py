"""One training loop, counted in steps everywhere."""

from lookahead.training.loop import Member, Trained, train
from lookahead.training.settings import Settings

__all__ = ["Member", "Settings", "Trained", "train"]
