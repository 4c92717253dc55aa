"""Path-star: the task, its text format, a readable sampler, and what solves it by hand."""

from lookahead.tasks.path_star.counting import count_graphs, share_drawn
from lookahead.tasks.path_star.readable import sample_one
from lookahead.tasks.path_star.task import PathStar

__all__ = ["PathStar", "count_graphs", "sample_one", "share_drawn"]
