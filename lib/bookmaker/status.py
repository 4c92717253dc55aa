"""The tables of the status page: what was executed when, where and by which code, and whether it still stands."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import Any

from bookmaker.comparison import LIVE_BUDGET
from bookmaker.execution import digest, executed, fingerprint, inputs, say
from bookmaker.notebooks import listed, read
from lookahead.files import read_cache, write_text
from lookahead.machine import processor
from lookahead.tables import markdown, plain

MARK = "<!-- tables -->"
"""The line of book/status.md that the tables replace."""
SHOWN = ("torch", "numpy", "pandas", "matplotlib", "seaborn", "papermill", "nbval", "jupyter-book", "Sphinx")


def tables(root: Path, notebooks: Path) -> str:
    """The page's tables in Markdown.

    Args:
        notebooks: the folder of the chapters as the site shows them, with their outputs.
    """
    made = [(chapter, notebooks / chapter.name) for chapter in listed(root)]
    parts = [*chapters(root, made), *results(root), *environment()]
    return "\n".join(parts)


def chapters(root: Path, made: list[tuple[Path, Path]]) -> list[str]:
    """What each chapter took, and whether today's code is the code that executed it."""
    rows, live, old = [], 0.0, []
    for chapter, notebook in made:
        said = executed(notebook)
        if not said:
            rows.append([title(notebook), *["not known"] * 6])
            old.append(title(notebook))
            continue
        live += said["live_cpu_seconds"]
        stands = said["fingerprint"] == fingerprint(root, chapter)
        old += [] if stands else [title(notebook)]
        earlier = f" ({plural(said['found_runs'], 'network')} trained earlier by the same code)"
        found = earlier if said["found_runs"] else ""
        rows.append(
            [
                title(notebook),
                day(said["finished"]),
                revision(said["commit"], said["uncommitted_changes"]),
                f"{said['wall_seconds']:.0f}\u00a0s",
                f"{said['live_cpu_seconds']:.0f}\u00a0s{found}",
                f"{said['peak_memory_bytes'] / 1e9:.1f}\u00a0GB",
                "current" if stands else "earlier code",
            ]
        )
    head = ["chapter", "executed", "code", "time", "training", "memory", "state"]
    note = (
        f"All chapters together trained for {live:.0f} seconds of one core, of the {LIVE_BUDGET:.0f} allowed. "
        "The time of a chapter is that of a clock, so other work on the machine counts; that of its training is the "
        "processor's."
    )
    stale = (
        "Every chapter was executed by today's code."
        if not old
        else f"**Executed by earlier code, and perhaps out of date:** {', '.join(old)}. "
        "The library, the results or the pinned versions have changed since."
    )
    where = sorted({where_executed(executed(notebook)) for _, notebook in made if executed(notebook)})
    return ["## Chapters", "", stale, "", markdown(head, rows), "", note, "", *(f"Executed on {w}." for w in where), ""]


def results(root: Path) -> list[str]:
    """The stored results, and whether today's code would give them."""
    files = sorted(file for file in inputs(root) if file.suffix == ".parquet" and file.parent == root / "results")
    if not files:
        return []
    kept, state = root / "build" / "status.json", digest(root, inputs(root))
    rows = known_rows(read_cache(kept), state)
    if rows is None:
        say("comparing the stored results with today's code ...")
        rows = [stored_row(file) for file in files]
        write_text(kept, json.dumps({"state": state, "rows": rows}))
    where = sorted({place for *_, places in rows for place in places})
    head = ["results", "runs", "seeds", "hours", "runs per hour", "measured", "code", "state"]
    note = (
        "A result is *current* if today's code would give it: the code it went through is unchanged, or the first "
        "steps of the run, repeated in miniature, give what they gave. Hours are those of a clock, over all runs; runs "
        "per hour are those of one process, and fewer where the machine had other work."
    )
    table = markdown(head, [row[:-1] for row in rows])
    return ["## Measured beforehand", "", table, "", note, "", *(f"Measured on {place}." for place in where), ""]


def known_rows(text: str, state: str) -> list[list[Any]] | None:
    """The rows that were kept, if they are those of this state."""
    try:
        seen = json.loads(text)
        return seen["rows"] if seen["state"] == state else None
    except (ValueError, KeyError, TypeError):
        return None


def stored_row(file: Path) -> list[Any]:
    """One file of stored results: the table's cells, then the machines."""
    from lookahead.runs.parquet import read_pack  # loads torch

    found = read_pack(file)
    said = [result.manifest for result in found]
    stale = sum(not result.current for result in found)
    days = sorted({day(m["finished"]) for m in said})
    code = sorted({revision(m.get("commit"), m.get("uncommitted_changes")) for m in said})
    hours = sum(m["seconds"] for m in said) / 3600
    return [
        plain(file.stem),
        str(len(found)),
        str(len({result.run.seed for result in found})),
        f"{hours:.1f}",
        f"{len(found) / hours:.0f}" if hours else "",
        days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        code[0] if len(code) == 1 else f"{len(code)} versions",
        "current" if not stale else f"{stale} of {len(found)} out of date",
        sorted({plain(f"{m['device']}, torch {m['torch']}") for m in said}),
    ]


def environment() -> list[str]:
    """What the site was built with."""
    rows = [["Python", platform.python_version()], *([name, importlib.metadata.version(name)] for name in SHOWN)]
    return [
        "## Versions",
        "",
        f"This site was built on: {plain(processor())}.",
        "",
        markdown(["package", ""], rows),
        "",
    ]


def where_executed(said: dict[str, Any]) -> str:
    """The machine of an execution, in words."""
    return plain(f"{said['processor']}, with Python {said['python']} and torch {said['torch']}")


def title(notebook: Path) -> str:
    """The first heading of a chapter."""
    lines = (line for cell in read(notebook).cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("# ")), notebook.stem)


def day(moment: str) -> str:
    """The day of an ISO time, not to be broken over two lines."""
    return plain(moment[:10]).replace("-", "\u2011")


def revision(commit: Any, changed: Any) -> str:
    """A commit in short."""
    if not re.fullmatch("[0-9a-f]{7,}", str(commit)):
        return "not known"
    return f"`{commit[:7]}`" + (" and changes" if changed else "")


def plural(count: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
