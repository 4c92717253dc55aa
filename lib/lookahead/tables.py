"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    """A table.

    Args:
        head: the columns' names.
        rows: as many texts each.
        numbers_from: the first of the columns that hold numbers: those stand at the right.
    """
    columns = len(head) if numbers_from is None else numbers_from
    rules = [":--" if column < columns else "--:" for column in range(len(head))]
    return "\n".join(_line(cells) for cells in (head, rules, *rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
