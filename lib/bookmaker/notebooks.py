"""The chapters as files: which there are, what they hold, and how the outputs of an execution are put into them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import yaml
from PIL import Image

from lookahead.errors import LookaheadError

LARGEST = 2_000_000
"""Bytes of a committed chapter, which holds most figures twice, once for small screens; its page loads one of them."""
NARROW_KIND = "image/svg+xml;narrow"
"""The output of a cell that is its figure for small screens, as `lookahead.figures` writes it."""
VOLATILE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "widgets")
"""Metadata that changes from run to run, or with the editor."""
LIVE = "nbval-ignore-output"
"""Tag of a cell whose numbers come from live training: its outputs are not compared, and its time counts."""
EXECUTED = "lookahead"
"""Metadata of a notebook: when, where and by which code its outputs were made (`execution.Execution.sign`)."""


def pages(root: Path) -> list[str]:
    """What `_toc.yml` lists, in its order, without suffixes.

    Raises:
        LookaheadError: there is no such file.
    """
    contents = root / "_toc.yml"
    if not contents.is_file():
        raise LookaheadError(f"there is no {contents.name} in {root.resolve()}: run this at the root of the book")

    def files(node: Any) -> Iterable[str]:
        if isinstance(node, list):
            for item in node:
                yield from files(item)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in ("file", "root"):
                    yield value
                else:
                    yield from files(value)

    return [name.removesuffix(".ipynb") for name in files(yaml.safe_load(contents.read_text(encoding="utf-8")))]


def listed(root: Path) -> list[Path]:
    """The chapters of `_toc.yml`, in its order.

    Raises:
        LookaheadError: one is not there.
    """
    chapters = [root / f"{name}.ipynb" for name in pages(root) if name.startswith("chapters/")]
    if missing := [str(chapter.relative_to(root)) for chapter in chapters if not chapter.is_file()]:
        raise LookaheadError(f"_toc.yml lists what is not there: {', '.join(missing)}")
    return chapters


def read(path: Path) -> Any:
    """A notebook.

    Raises:
        LookaheadError: the file is none.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises what its parsers raise
        raise LookaheadError(f"{path} is not a notebook: {error}") from error


def code_cells(notebook: Any) -> list[Any]:
    """Its code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def finished(source: Path, executed: Path) -> str:
    """The text of the notebook at `source` with the outputs of its execution, without volatile metadata.

    Raises:
        LookaheadError: the source has other code than what was executed.
    """
    notebook, done = read(source), read(executed)
    code, outputs = code_cells(notebook), code_cells(done)
    if [cell.source for cell in code] != [cell.source for cell in outputs]:
        raise LookaheadError(f"{source.name} was edited while it was executed: run it again")
    for cell, made in zip(code, outputs, strict=True):
        cell.outputs, cell.execution_count = joined(made.outputs), made.execution_count
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = lighter(output.data["image/png"])
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in VOLATILE:
            metadata.pop(name, None)
        if "tags" in metadata and not metadata["tags"]:
            del metadata["tags"]
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    if EXECUTED in done.metadata:
        notebook.metadata[EXECUTED] = done.metadata[EXECUTED]
    return nbformat.writes(notebook) + "\n"


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs with neighbouring pieces of one stream made one: where they are cut is chance."""
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else None
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def lighter(picture: str) -> str:
    """A PNG in base64 with a palette of 256 colours: a quarter of the bytes, the same to the eye."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    packed = io.BytesIO()
    image.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()
