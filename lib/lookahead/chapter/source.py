"""The code under study, shown from the library itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError

LIBRARY = Path(__file__).resolve().parents[2]
"""Where the package lies: in the repository that is lib/."""


def show_source(thing: object, first: str = "", last: str = "") -> None:
    """Shows a function, method or class as it stands in the library, or the few lines of it that carry an idea.

        show_source(Hints.hints, "return torch.where(")

    Below stands the file that it is in, with a link where the repository's address is known.

    Args:
        first: text of the one line at which the excerpt begins; the whole is shown if it is empty.
        last: text of the line at which it ends; if it is empty, the statement that begins at the first line is shown.

    Raises:
        LookaheadError: the source does not have these lines, or more than one has the text of the first.
    """
    from IPython.display import display

    found: Any = inspect.unwrap(thing)  # type: ignore[arg-type]
    code = excerpt(textwrap.dedent(inspect.getsource(found)), first, last)
    file = f"lib/{Path(inspect.getfile(found)).resolve().relative_to(LIBRARY).as_posix()}"
    name = f"`{file}`, `{found.__qualname__}`"
    place = f"[{name}]({address}/blob/main/{file})" if (address := repository()) else name
    page = f'```python\n{code}\n```\n\n<span class="source">{place}</span>'
    display({"text/markdown": page, "text/plain": code}, raw=True)


def excerpt(source: str, first: str, last: str = "") -> str:
    """Lines of a source, from the one that holds a text; without the space that all of them begin with.

    Args:
        first, last: as in `show_source`.
    """
    lines = source.rstrip().splitlines()
    if not first:
        return "\n".join(lines)
    begins = [number for number, line in enumerate(lines) if first in line]
    if len(begins) != 1:
        raise LookaheadError(f"{len(begins)} lines of the source have {first!r}; name one")
    begin = begins[0]
    if last:
        ends = [number for number in range(begin, len(lines)) if last in lines[number]][:1]
        if not ends:
            raise LookaheadError(f"no line of the source after {first!r} has {last!r}")
    else:
        statements = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt))
        ends = [node.end_lineno - 1 for node in statements if node.lineno - 1 == begin and node.end_lineno]
    return textwrap.dedent("\n".join(lines[begin : max([begin, *ends]) + 1]))


def repository(root: Path = LIBRARY.parent) -> str:
    """The address of the repository, without a slash at its end: `Repository` among the urls of pyproject.toml.

    Args:
        root: the folder of that file.

    Returns:
        the address; empty where none is named.

    Raises:
        LookaheadError: the file is not TOML.
    """
    file = root / "pyproject.toml"
    if not file.is_file():
        return ""
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise LookaheadError(f"pyproject.toml is not TOML: {error}") from error
    return project.get("urls", {}).get("Repository", "").rstrip("/")
