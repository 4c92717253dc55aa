"""What is to be learnt. Tasks know no model."""

from lookahead.tasks.path_star import PathStar

__all__ = ["PathStar"]
