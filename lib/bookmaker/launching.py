"""The first cell of a chapter that is opened in a browser: it installs the library where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell

from bookmaker.notebooks import code_cells, listed, read, tags
from lookahead.chapter.source import repository
from lookahead.files import write_text

TAG = "installs-the-library"
CODE = """\
# Opened where the library is not installed (in Colab, say), this notebook installs it.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("lookahead") is None:
    source = "lookahead[chapters] @ {source}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.check_call([*pip, source])"""


def cell_source(root: Path) -> str:
    """The cell's code; empty where pyproject.toml names no address from which to install."""
    address = repository(root)
    return CODE.format(source=f"git+{address}") if address else ""


def launchable(root: Path, notebook: Any) -> Iterator[str]:
    """The first cell of code installs from the repository's address; without one there is no such cell."""
    code, wanted = code_cells(notebook), cell_source(root)
    there = [cell.source for cell in code if TAG in tags(cell)]
    if there != ([wanted] if wanted else []) or (wanted and code[0].source != wanted):
        told = f"does not begin by installing from {repository(root)}" if wanted else "installs from no known address"
        yield f"{told} (`python -m bookmaker launch` mends it, `make chapters` executes)"


def write_cells(root: Path) -> list[Path]:
    """Gives every chapter that cell, renews it or takes it out; those that were changed."""
    changed, wanted = [], cell_source(root)
    for chapter in listed(root):
        notebook = read(chapter)
        if not any(launchable(root, notebook)):
            continue
        notebook.cells = [cell for cell in notebook.cells if TAG not in tags(cell)]
        if wanted:
            first = next(at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code")
            cell = new_code_cell(wanted, metadata={"tags": [TAG, "remove-cell"]}, id=TAG)
            notebook.cells.insert(first, cell)
        write_text(chapter, nbformat.writes(notebook) + "\n")
        changed.append(chapter)
    return changed
