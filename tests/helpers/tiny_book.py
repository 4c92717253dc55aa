"""A book of three pages, for tests that execute, build and break one."""

from pathlib import Path

from nbformat import NotebookNode, from_dict, read, write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TOC = """\
format: jb-book
root: book/index
parts:
  - caption: Part
    chapters:
      - file: chapters/01-one
      - file: chapters/02-two
"""
CONFIG = """\
title: Tiny
author: Nobody
copyright: "2026"
only_build_toc_files: true
execute: {execute_notebooks: "off"}
"""
INDEX = """\
# Tiny

The number is {glue:text}`../chapters/01-one.ipynb::t-number:.0f`, as [the first chapter](../chapters/01-one) says.
"""
BEGIN = """\
import sys

sys.path.insert(0, "../lib")
from lookahead.chapter import begin

chapter = begin(globals(), name='t', quick={"steps": 3}, census={}, paper={})
from tiny import NUMBER, train"""
DRAW = """\
from base64 import b64decode
from IPython.display import Image, display

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
display(Image(b64decode(PIXEL)))"""
CAPTION = "One pixel, which stands for a figure with two curves. See that one of them is higher."
FIGURE = {
    "mystnb": {
        "image": {"alt": "One pixel, which stands for a figure with two curves."},
        "figure": {"name": "fig-pixel", "caption": CAPTION},
    }
}
LIVE = {"tags": ["nbval-ignore-output"]}
FOLDED = {"tags": ["hide-input"]}
HEAD = """\

```{admonition} In one sentence
:class: gist
Nothing is said here.
```

```{admonition} What you need
:class: needs
- Nothing.
```
"""
PARAMETERS = {"tags": ["parameters", "hide-input"]}


def one() -> NotebookNode:
    """The first chapter: parameters, a number of the library, a live training, its claim, a picture."""
    return notebook(
        f"# One\n{HEAD}\nA number: {{glue:text}}`t-number:.0f`.",
        new_code_cell("steps = 3  # of the training", metadata=PARAMETERS),
        new_code_cell(BEGIN, metadata=FOLDED),
        new_code_cell("print(NUMBER)\nchapter.glue(number=NUMBER)", metadata=FOLDED),
        new_code_cell("loss = train(chapter.steps)", metadata=LIVE),
        new_code_cell("chapter.claim('the loss is small', loss < 1)", metadata=FOLDED),
        new_code_cell(DRAW, metadata={**FIGURE, "tags": [*FOLDED["tags"], *LIVE["tags"]]}),
    )


def two() -> NotebookNode:
    """The second chapter has nothing but its parameters and one line."""
    return notebook(
        f"# Two\n{HEAD}", new_code_cell("steps = 3", metadata=PARAMETERS), new_code_cell("print(2 * steps)")
    )


def notebook(text: str, *cells: NotebookNode) -> NotebookNode:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=[new_markdown_cell(text), *cells], metadata={"kernelspec": kernel})


def write_book(root: Path) -> Path:
    """Writes the book, not executed yet."""
    for folder in ("book", "chapters", "lib", "results/runs", "tests/chapter"):
        (root / folder).mkdir(parents=True)
    (root / "_toc.yml").write_text(TOC)
    (root / "_config.yml").write_text(CONFIG)
    (root / "requirements.txt").write_text("nothing==1\n")
    (root / "lib/tiny.py").write_text("NUMBER = 7\n\n\ndef train(steps):\n    return 1 / (1 + steps)\n")
    (root / "tests/chapter/sanitize.cfg").write_text("[none]\nregex: nothing-like-this\nreplace: X\n")
    (root / "book/index.md").write_text(INDEX)
    write(one(), root / "chapters/01-one.ipynb")
    write(two(), root / "chapters/02-two.ipynb")
    return root


def edit(chapter: Path, change: object) -> None:
    """Reads a chapter, lets `change(notebook)` change it, writes it back as the builder would."""
    found = read(chapter, as_version=4)
    change(found)  # type: ignore[operator]
    write(from_dict(found), chapter)
