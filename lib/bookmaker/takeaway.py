"""What a reader can take away from a chapter: its figures as SVG, the results behind them as CSV."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from bookmaker import moving
from bookmaker.checks import tree
from bookmaker.notebooks import NARROW_KIND, code_cells, listed, read
from lookahead.errors import LookaheadError

FOLDER = "take-away"
"""Where it lies, beside the chapters' folder; the pages are told by its INDEX."""
INDEX = "index.json"
JSON_COLUMNS = ("run", "curve", "measures", "manifest", "stamp", "replay", "sha256")
"""Columns of a file of results that are no numbers or words for a table."""


@dataclass(frozen=True)
class Picture:
    """A chapter's figure as its notebook has it."""

    name: str
    alt: str
    svg: str
    narrow: str
    """The same for small screens; empty where there is none."""


def pictures(notebook: Any) -> list[Picture]:
    """The figures of a notebook, in its order."""
    found = []
    for cell in code_cells(notebook):
        said = cell.metadata.get("mystnb", {})
        drawn = [output.data for output in cell.outputs if "image/svg+xml" in output.get("data", {})]
        if drawn and "figure" in said:
            wide, narrow = ("".join(drawn[0].get(kind, "")) for kind in ("image/svg+xml", NARROW_KIND))
            found.append(Picture(said["figure"]["name"], said["image"]["alt"], wide, narrow))
    return found


def without_narrow(notebook: Any) -> bool:
    """Takes the pictures for small screens out of a notebook, where no editor shows them; whether there was one."""
    taken = [
        output.data.pop(NARROW_KIND, "") for cell in code_cells(notebook) for output in cell.outputs if "data" in output
    ]
    return any(taken)


def experiments(notebook: Any) -> list[str]:
    """The experiments whose stored results a notebook asks for: every `stored("name")`, each once."""
    calls = (node for cell in code_cells(notebook) for node in ast.walk(tree(cell)) if isinstance(node, ast.Call))
    names = [
        str(call.args[0].value)
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) == "stored"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Constant)
    ]
    return list(dict.fromkeys(names))


def tables(results: Path) -> tuple[str, str]:
    """A file of results as two tables in CSV.

    Returns:
        a row a run: how it was trained, what it had learnt at its end; and a row an evaluation of a run. What is
        measured at each token of the answer has a column a token, numbered from 0.
    """
    import pandas as pd

    packed = pd.read_parquet(results)
    runs = packed.drop(columns=[name for name in JSON_COLUMNS if name in packed]).rename(columns={"id": "run"})
    rows = [
        {"run": run, "seed": seed, **spread(entry)}
        for run, seed, curve in zip(packed["id"], packed["seed"], packed["curve"], strict=True)
        for entry in json.loads(curve)
    ]
    curves = pd.DataFrame(rows)
    told = curves.dropna(axis="columns", how="all")  # a measure that this experiment does not have
    first, second = (table.to_csv(index=False, float_format="%.6g") for table in (runs, told))
    return first, second


def spread(entry: dict[str, Any]) -> dict[str, Any]:
    """One evaluation with a column for each token: {"loss": [a, b]} becomes {"loss.0": a, "loss.1": b}."""
    flat: dict[str, Any] = {}
    for name, value in entry.items():
        flat |= {f"{name}.{at}": one for at, one in enumerate(value)} if isinstance(value, list) else {name: value}
    return flat


def lay_out(root: Path, source: Path) -> None:
    """Writes what can be taken away into the folder that the site is built from, and an index of it.

    Raises:
        LookaheadError: two figures of one name, or a chapter asks for results that are not there.
    """
    folder = source / FOLDER
    for part in ("figures", "narrow", "data", "moving"):
        (folder / part).mkdir(parents=True)
    figures: dict[str, dict[str, str]] = {}
    chapters: dict[str, dict[str, list[str]]] = {}
    for chapter in listed(root):
        notebook, page = read(source / "chapters" / chapter.name), f"chapters/{chapter.stem}"
        drawn, asked = pictures(notebook), experiments(notebook)
        for picture in drawn:
            if picture.name in figures:
                raise LookaheadError(
                    f"{chapter.name}: {figures[picture.name]['page']} has a figure {picture.name}, too"
                )
            (folder / "figures" / f"{picture.name}.svg").write_text(picture.svg, encoding="utf-8")
            if picture.narrow:
                (folder / "narrow" / f"{picture.name}.svg").write_text(picture.narrow, encoding="utf-8")
            figures[picture.name] = {"page": page, "alt": picture.alt}
        if without_narrow(notebook):
            (source / f"{page}.ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        chapters[page] = {"figures": [picture.name for picture in drawn], "data": asked}
        for name in moving.asked(notebook):
            (folder / "moving" / f"{name}.json").write_text(moving.made(name, root / "results"), encoding="utf-8")
        for name in asked:
            write_tables(root / "results" / f"{name}-census.parquet", folder / "data" / name)
    index = {"figures": figures, "chapters": chapters}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def write_tables(results: Path, path: Path) -> None:
    """The two tables of a file of results as PATH.csv and PATH-curves.csv, once."""
    if path.with_suffix(".csv").exists():
        return
    if not results.is_file():
        raise LookaheadError(f"{results.name} is not there, and a chapter asks for it")
    runs, curves = tables(results)
    path.with_suffix(".csv").write_text(runs, encoding="utf-8")
    path.with_name(f"{path.name}-curves.csv").write_text(curves, encoding="utf-8")
