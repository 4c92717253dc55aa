"""One training loop, counted in steps everywhere."""

from lookahead.training.loop import train
from lookahead.training.member import Member, Trained
from lookahead.training.settings import Settings

__all__ = ["Member", "Settings", "Trained", "train"]
