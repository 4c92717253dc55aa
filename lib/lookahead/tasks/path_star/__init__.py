"""Path-star: the task, its text format, and what solves it by hand."""

from lookahead.tasks.path_star.task import PathStar

__all__ = ["PathStar"]
