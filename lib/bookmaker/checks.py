"""What every committed chapter keeps to, seen without executing it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bookmaker.launching import launchable
from bookmaker.notebooks import EXECUTED, LARGEST, LIVE, VOLATILE, code_cells, listed, pages, read, tags
from lookahead.errors import LookaheadError

ABSOLUTE = re.compile(r"(?<![\w:/.])/(?:home|root|tmp|Users|mnt|usr|opt)/\w|[A-Z]:\\\\")
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\b\d\d:\d\d:\d\d\b")
OURS = re.compile(r"\b(?:census|stored|stale|packed)\b|\bstep (?:never|none|nan)\b", re.IGNORECASE)
"""Words of the project's own, and a time that is none."""
CLAIMED = re.compile(r"holds: |does not hold: ")
"""How the plain text of a claim begins."""
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
"""Tags of a cell whose code is folded, or not on the page."""
PLUMBING = {"begin", "glue", "claim"}
"""Calls of these names are the chapter's business, not its reader's."""
FITS = 83
"""Letters in a line of code or output that fit on a page 1440 pixels wide.

688 pixels are there, less 32 around code (18 beside output); a letter of DejaVu Sans Mono, the widest of the fonts in
book.css, takes 7.9.
"""
GLUED = "application/papermill.record/text/plain"
TRAINING = {"run", "train", "backward", "audit"}
"""Calls of these names train."""
LISTING = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LONGEST_LISTING = 10
"""Lines of the library that carry an idea."""
TABLE = re.compile(r"^\| (?::-+|-+:) \|", re.MULTILINE)
"""The line below a table's head."""
SHORTEST_ALT, SHORTEST_CAPTION = 20, 60
"""Letters that say what a picture shows, and how it is to be read."""
HEAD = re.compile(
    r"# [^\n]+\n\n"
    r"```\{admonition\} In one sentence\n:class: gist\n(?P<gist>(?:.+\n)+?)```\n\n"
    r"```\{admonition\} What you need\n:class: needs\n(?P<needs>(?:.+\n)+?)```(?:\n|$)"
)
"""How every chapter begins: its heading, what it says, what its reader brings."""
LONGEST_GIST, MOST_NEEDS = 220, 4
"""Letters of the one sentence; things to bring along."""
PICTURES = {"image/svg+xml", "image/png"}
LARGEST_PICTURE = 300_000
"""Bytes; what would be larger is drawn with `rasterized=True` where it is dense."""


def check(root: Path) -> None:
    """Holds every chapter against every rule.

    Raises:
        LookaheadError: what breaks a rule, all of it.
    """
    chapters = listed(root)
    found = [*contents(root, chapters)]
    for chapter in chapters:
        notebook = read(chapter)
        found += [f"{chapter.name}: {fault}" for rule in RULES for fault in rule(notebook)]
        found += [f"{chapter.name}: {fault}" for fault in (*file(chapter), *launchable(root, notebook))]
    if found:
        raise LookaheadError("\n  ".join([f"{len(found)} things are wrong with the chapters", *found]))


def contents(root: Path, chapters: list[Path]) -> Iterator[str]:
    """The table of contents lists every chapter once, in the order of their numbers."""
    there = sorted((root / "chapters").glob("*.ipynb"))
    for chapter in there:
        if chapter not in chapters:
            yield f"{chapter.name}: not listed in _toc.yml, so nobody would find it"
    names = pages(root)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"_toc.yml lists {name} more than once"
    if sorted(chapters) != chapters:
        yield "_toc.yml: the chapters are not in the order of their numbers"


def file(chapter: Path) -> Iterator[str]:
    """Small, and ended by a line feed."""
    text = chapter.read_text(encoding="utf-8")
    if (size := len(text.encode())) > LARGEST:
        yield f"{size / 1e6:.1f} MB; {LARGEST / 1e6:.0f} MB is the limit"
    if not text.endswith("\n"):
        yield "does not end with a line feed"


def head(notebook: Any) -> Iterator[str]:
    """A heading, what the chapter says in one sentence, and a list of what its reader needs."""
    found = HEAD.match(notebook.cells[0].source) if notebook.cells else None
    if not found:
        yield "does not begin with its heading, a box 'In one sentence' and a box 'What you need'"
        return
    gist, needs = " ".join(found["gist"].split()), found["needs"].splitlines()
    if len(re.findall(r"[.!?](?:\s|$)", gist)) != 1 or gist[-1] not in ".!?":
        yield f"says more or less than one sentence under 'In one sentence': {gist}"
    if len(gist) > LONGEST_GIST:
        yield f"its one sentence has {len(gist)} letters, {LONGEST_GIST} are the limit"
    items = [line for line in needs if line.startswith("- ")]
    if not needs[0].startswith("- ") or not all(line.startswith(("- ", "  ")) for line in needs):
        yield "'What you need' is no list, each item after a dash"
    elif len(items) > MOST_NEEDS:
        yield f"needs {len(items)} things, {MOST_NEEDS} are the limit"


def executed(notebook: Any) -> Iterator[str]:
    """Every cell once, from the top, and it says by which code."""
    code = [cell for cell in code_cells(notebook) if cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if any(count is None for count in counts):
        yield f"code cell {counts.index(None) + 1} was never executed (`make chapters` executes)"
    elif counts != list(range(1, len(code) + 1)):
        yield f"its cells were not executed once from the top, but in the order {counts}"
    if "fingerprint" not in notebook.metadata.get(EXECUTED, {}):
        yield "does not say which execution made its outputs (`make chapters` writes it)"


def outputs(notebook: Any) -> Iterator[str]:
    """No error, no warning, no place or moment, no word of ours; and what a cell is sure to leave is there."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} raised {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"code cell {number} wrote to stderr: {output.text.strip()[:200]}"
            for pattern in (ABSOLUTE, MOMENT):
                if said := pattern.search(texts(output)):
                    yield f"code cell {number} prints a place or a moment: {said.group()}"
            if said := OURS.search(texts(output)):
                yield f"code cell {number} says {said.group()!r}, which is no reader's word"
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        claimed = any(CLAIMED.match(output.get("data", {}).get("text/plain", "")) for output in cell.outputs)
        if "alt" in cell.metadata.get("mystnb", {}).get("image", {}) and not PICTURES & kinds:
            yield f"code cell {number} draws a picture, but its output is missing"
        if claims(cell) and not claimed:
            yield f"code cell {number} claims something, but its output is missing"


def texts(output: Any) -> str:
    """All that an output shows, pictures aside."""
    if output.output_type == "stream":
        return output.text
    return "\n".join(str(text) for kind, text in output.get("data", {}).items() if not kind.startswith("image/"))


def glued(notebook: Any) -> Iterator[str]:
    """Every number for the prose is a finite number."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is None:
                continue
            said = output.data.get(GLUED, output.data.get("text/plain"))
            try:
                fine = said is not None and math.isfinite(float(said))
            except ValueError:
                fine = False
            if not fine:
                yield f"code cell {number} glues {name}, which is no finite number: {said}"


def parameters(notebook: Any) -> Iterator[str]:
    """One parameters cell, of literals: what papermill puts in its place must be all that changes."""
    tagged = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged parameters; there must be one"
    for cell in tagged:
        for statement in tree(cell).body:
            fine = isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
            try:
                ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            except (ValueError, AttributeError):
                fine = False
            if not fine:
                yield f"its parameters cell computes; it may only assign literals: {ast.unparse(statement)}"


def pictures(notebook: Any) -> Iterator[str]:
    """Every picture says what it shows, has a caption and a name to refer to, and is not too heavy."""
    names: list[str] = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        drawn = [data for output in cell.outputs if PICTURES & set(data := output.get("data", {}))]
        if not drawn:
            continue
        said = cell.metadata.get("mystnb", {})
        if len(said.get("image", {}).get("alt", "")) < SHORTEST_ALT:
            yield f"code cell {number} draws without saying what: cell metadata mystnb.image.alt"
        yield from labelled(said.get("figure", {}), "figure", number, names)
        if len(drawn) > 1:
            yield f"code cell {number} draws {len(drawn)} pictures under one caption; draw them in one, or in two cells"
        largest = max(len(text) for data in drawn for kind, text in data.items() if kind.startswith("image/"))
        if largest > LARGEST_PICTURE:
            yield f"code cell {number} draws {largest:,} bytes; {LARGEST_PICTURE:,} are the limit: rasterized=True"


def labelled(said: dict[str, str], kind: str, number: int, names: list[str]) -> Iterator[str]:
    """A figure or a table has a caption, and a name that none before it has."""
    if len(said.get("caption", "")) < SHORTEST_CAPTION:
        yield f"code cell {number} makes a {kind} without a caption: cell metadata mystnb.{kind}.caption"
    name, begins = said.get("name", ""), f"{kind[:3]}-"
    if not name.startswith(begins) or name in names:
        yield f"code cell {number} needs a name of its own, {begins}...: cell metadata mystnb.{kind}.name"
    names.append(name)


def captioned(notebook: Any) -> Iterator[str]:
    """Every table that a cell makes has a caption and a name to refer to, and every such caption its table."""
    names: list[str] = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        made = "\n".join(output.get("data", {}).get("text/markdown", "") for output in cell.outputs)
        said = cell.metadata.get("mystnb", {}).get("table")
        if (count := len(TABLE.findall(made))) != 1 and (count or said is not None):
            yield f"code cell {number} makes {count} tables, of which one can have a caption"
        if count or said is not None:
            yield from labelled(said or {}, "table", number, names)


def plumbing(notebook: Any) -> Iterator[str]:
    """What only makes the chapter work is folded: its parameters, what it glues, how it asserts what it claims."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        found = sorted(calls(tree(cell)) & PLUMBING) + sorted({"parameters"} & set(tags(cell)))
        if found and not HIDDEN & set(tags(cell)):
            yield f"code cell {number} shows its {found[0]}; tag it hide-input (what is to be seen goes elsewhere)"


def shown(notebook: Any) -> Iterator[str]:
    """The call that shows lines of the library is not on the page: the lines are."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        if "show_source" in calls(tree(cell)) and "remove-input" not in tags(cell):
            yield f"code cell {number} shows its show_source above what that shows; tag it remove-input"


def wide(notebook: Any) -> Iterator[str]:
    """No line of code or output is cut at the right edge of the page."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        shown = {"shows": "" if HIDDEN & set(tags(cell)) else cell.source, "prints": ""}
        for output in cell.outputs:
            shown["prints"] += "\n" + text_of(output)
        for what, text in shown.items():
            longest = max(text.splitlines(), key=len, default="")
            if len(longest) > FITS:
                yield f"code cell {number} {what} a line of {len(longest)} letters, {FITS} fit: {longest.strip()[:60]}"


def listings(notebook: Any) -> Iterator[str]:
    """What is shown of the library is as long as its idea; the page links to the rest."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            for code in LISTING.findall(output.get("data", {}).get("text/markdown", "")):
                if (lines := code.count("\n")) > LONGEST_LISTING:
                    yield f"code cell {number} lists {lines} lines, {LONGEST_LISTING} are the limit (first, last)"


def text_of(output: Any) -> str:
    """What of an output is set line by line: a stream, plain text, listings; empty for what wraps or is drawn."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    if "text/markdown" in data:
        return "\n".join(LISTING.findall(data["text/markdown"]))
    return data.get("text/plain", "") if set(data) == {"text/plain"} else ""


def live(notebook: Any) -> Iterator[str]:
    """A cell that trains is marked as live, and a later cell claims something of what it trained."""
    trains, waiting = set(TRAINING), []
    for number, cell in enumerate(code_cells(notebook), start=1):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.FunctionDef) and calls(node) & trains:
                trains.add(node.name)
        if claims(cell):
            waiting.clear()
        if calls(*(part for part in tree(cell).body if not isinstance(part, ast.FunctionDef))) & trains:
            waiting += [] if claims(cell) else [str(number)]
            if LIVE not in tags(cell):
                yield f"code cell {number} trains; tag it {LIVE}, since its numbers differ between machines"
    if waiting:
        yield f"code cell {', '.join(waiting)} trains, and no later cell claims anything of it"


def tree(cell: Any) -> ast.Module:
    """The syntax of a cell, lines for the shell left out."""
    return ast.parse("\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in cell.source.splitlines()))


def calls(*nodes: ast.AST) -> set[str]:
    """Names of all functions and methods that are called within."""
    found = {node.func for root in nodes for node in ast.walk(root) if isinstance(node, ast.Call)}
    return {f.id for f in found if isinstance(f, ast.Name)} | {f.attr for f in found if isinstance(f, ast.Attribute)}


def claims(cell: Any) -> bool:
    """Whether a cell claims something."""
    return "claim" in calls(tree(cell))


def clean(notebook: Any) -> Iterator[str]:
    """No metadata that changes by itself."""
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in sorted(set(metadata) & set(VOLATILE)):
            yield f"holds the volatile metadata {name!r} (`make chapters` takes it out)"


RULES: tuple[Callable[[Any], Iterator[str]], ...] = (
    head, executed, outputs, glued, parameters, plumbing, shown, wide, listings, pictures, captioned, live, clean,
)  # fmt: skip
