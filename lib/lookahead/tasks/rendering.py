"""Tokens as text."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS, Task
from lookahead.errors import LookaheadError


def rendered(tokens: Tensor, words: Sequence[str], labels: int = 0) -> list[str]:
    """Rows of tokens [B, T] in words, a comma between two that are both below `labels`; nothing between others.

    Args:
        words: those of the task's ids; the reserved ones follow.

    Raises:
        LookaheadError: an id that is neither the task's nor a reserved one.
    """
    every = [*words, *RESERVED_TOKENS]
    if tokens.numel() and not (tokens.min() >= 0 and tokens.max() < len(every)):
        raise LookaheadError(f"ids from {tokens.min()} to {tokens.max()}: those of this task are 0 to {len(every) - 1}")
    lines = []
    for row in tokens.tolist():
        commas = ["," if max(pair) < labels else "" for pair in pairwise(row)]
        lines.append("".join(every[token] + comma for token, comma in zip(row, [*commas, ""], strict=True)))
    return lines


def refuse_wrong(task: Task, good: Tensor, prompts: Tensor, answers: Tensor) -> None:
    """Refuses examples that are none.

    Args:
        good: which rows are examples of the task, [B], bool.

    Raises:
        LookaheadError: the message shows the first that is none.
    """
    if not good.all():
        row = int((~good).nonzero()[0])
        line = " ".join(task.text(part[row : row + 1])[0] for part in (prompts, answers))
        raise LookaheadError(f"row {row} is no example of {task.title}: {line}")
