"""A book that is broken in one way is refused by one of the commands behind `make test`, and says why."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_output

from bookmaker.__main__ import main
from bookmaker.execution import executed
from tiny_book import LIVE, edit, write_book

CHECKED_BY_MAKE = ("check", "compare", "site --committed")
"""The commands of `python -m bookmaker` that `make test` runs."""

LINE = "x = 1\n"

A_TABLE = new_output("display_data", {"text/markdown": "| seed | right |\n| :-- | --: |\n| 0 | 0.5 |\n"})

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def executed_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole book, executed once for all tests."""
    root = write_book(tmp_path_factory.mktemp("book"))
    assert main(["--root", str(root), "chapters", "--in-place"]) == 0
    return root


@pytest.fixture
def book(executed_book: Path, tmp_path: Path) -> Path:
    """A copy of it, to break."""
    return Path(shutil.copytree(executed_book, tmp_path / "book", ignore=shutil.ignore_patterns("build")))


def command(root: Path, words: str, *more: str) -> int:
    """The exit status of one of the commands on a book."""
    jobs = ("--jobs", "1") if words == "compare" else ()
    return main(["--root", str(root), *words.split(), *jobs, *more])


def in_cell(number: int, change: Callable[[Any], None], chapter: str = "01-one") -> Change:
    """Changes one cell (the first is the title) of the committed chapter."""
    return lambda root: edit(root / f"chapters/{chapter}.ipynb", lambda found: change(found.cells[number]))


def source(text: str) -> Callable[[Any], None]:
    return lambda cell: cell.update(source=text)


def replaced(old: str, new: str) -> Callable[[Any], None]:
    """Replaces text that is there."""

    def change(cell: Any) -> None:
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def tagless(cell: Any) -> None:
    cell.metadata = {}


def unfolded(cell: Any) -> None:
    cell.metadata.tags = [tag for tag in cell.metadata.tags if tag != "hide-input"]


def never_executed(cell: Any) -> None:
    cell.execution_count, cell.outputs = None, []


def without_output(cell: Any) -> None:
    cell.outputs = []


def noisy(cell: Any) -> None:
    cell.outputs = [*cell.outputs, {"output_type": "stream", "name": "stderr", "text": "UserWarning: old\n"}]


def glued_nothing(cell: Any) -> None:
    cell.outputs[1].data["application/papermill.record/text/plain"] = "nan"


def shuffled(root: Path) -> None:
    in_cell(3, lambda cell: cell.update(execution_count=9))(root)


def add_chapter(root: Path) -> None:
    shutil.copy(root / "chapters/02-two.ipynb", root / "chapters/03-three.ipynb")


def text_of(file: str, old: str, new: str) -> Change:
    """Replaces text in a file."""

    def change(root: Path) -> None:
        before = (root / file).read_text()
        assert old in before
        (root / file).write_text(before.replace(old, new))

    return change


def computed(cell: Any) -> None:
    cell.source = "steps = 1 + 2"


def training_unmarked(root: Path) -> None:
    in_cell(4, tagless)(root)


def nothing_claimed(root: Path) -> None:
    in_cell(5, source("print('the loss is small')"))(root)


BROKEN: dict[str, tuple[Change, str, str]] = {
    "a cell that raises": (in_cell(3, source("1 / 0")), "compare", "ZeroDivisionError"),
    "a cell that is said to have raised": (
        in_cell(
            3,
            lambda cell: cell.update(
                outputs=[{"output_type": "error", "ename": "ZeroDivisionError", "evalue": "", "traceback": []}]
            ),
        ),
        "check",
        "code cell 3 raised ZeroDivisionError",
    ),
    "a chapter that begins without a sentence": (
        in_cell(0, replaced("In one sentence", "In short")),
        "check",
        "01-one.ipynb: does not begin with its heading",
    ),
    "two sentences in one": (
        in_cell(0, replaced("Nothing is said here.", "Nothing. It is said here.")),
        "check",
        "more or less than one sentence under 'In one sentence': Nothing. It is",
    ),
    "half a sentence": (in_cell(0, replaced("said here.", "said here")), "check", "more or less than one sentence"),
    "a sentence that is long": (
        in_cell(0, replaced("Nothing is", "Nothing is" + 40 * " ever")),
        "check",
        "its one sentence has 221 letters, 220 are the limit",
    ),
    "needs that are no list": (in_cell(0, replaced("- Nothing.", "Nothing.")), "check", "'What you need' is no list"),
    "many needs": (in_cell(0, replaced("- Nothing.", "- A\n- B\n- C\n- D\n- E")), "check", "needs 5 things, 4 are"),
    "a cell that was never executed": (in_cell(3, never_executed), "check", "code cell 3 was never executed"),
    "executed out of order": (shuffled, "check", "in the order [1, 2, 9, 4, 5, 6]"),
    "an output is missing": (in_cell(3, without_output), "compare", "Cell outputs differ"),
    "a live picture is missing": (in_cell(6, without_output), "check", "draws a picture, but its output is missing"),
    "a claim's output is missing": (in_cell(5, without_output), "check", "claims something, but its output is"),
    "a claim that does not hold": (text_of("lib/tiny.py", "1 /", "5 /"), "compare", "the loss is small"),
    "a glued number that does not resolve": (
        text_of("book/index.md", "t-number", "t-numbr"),
        "site --committed",
        "t-numbr",
    ),
    "a glued number that is none": (in_cell(3, glued_nothing), "check", "t-number, which is no finite number: nan"),
    "a glued number that became none": (
        text_of("lib/tiny.py", "NUMBER = 7", "NUMBER = float('nan')"),
        "compare",
        "the prose needs a finite number",
    ),
    "a number that changed in the library": (text_of("lib/tiny.py", "NUMBER = 7", "NUMBER = 8"), "compare", "8"),
    "a chapter missing from _toc.yml": (add_chapter, "check", "03-three.ipynb: not listed in _toc.yml"),
    "a chapter that is listed and not there": (
        text_of("_toc.yml", "chapters/02-two", "chapters/02-tow"),
        "check",
        "_toc.yml lists what is not there: chapters/02-tow.ipynb",
    ),
    "chapters in the wrong order": (
        text_of(
            "_toc.yml",
            "- file: chapters/01-one\n      - file: chapters/02-two",
            "- file: chapters/02-two\n      - file: chapters/01-one",
        ),
        "check",
        "not in the order of their numbers",
    ),
    "parameters that compute": (in_cell(1, computed), "check", "its parameters cell computes"),
    "no parameters": (in_cell(1, tagless), "check", "0 cells are tagged parameters"),
    "parameters in sight": (in_cell(1, unfolded), "check", "code cell 1 shows its parameters; tag it hide-input"),
    "a glued number in sight": (in_cell(3, unfolded), "check", "code cell 3 shows its glue"),
    "an assertion in sight": (in_cell(5, unfolded), "check", "code cell 5 shows its claim"),
    "a call above the listing that it shows": (
        in_cell(4, source("loss = train(show_source(train))")),
        "check",
        "code cell 4 shows its show_source above what that shows; tag it remove-input",
    ),
    "a word of the project in a claim": (
        in_cell(5, lambda cell: cell.outputs[0].data.update({"text/plain": "holds: no stored seed leaves chance"})),
        "check",
        "code cell 5 says 'stored', which is no reader's word",
    ),
    "a time that is none": (
        in_cell(3, lambda cell: cell.outputs[0].update(text="0 of 20 succeed, half by training step never\n")),
        "check",
        "code cell 3 says 'step never'",
    ),
    "code that is cut": (in_cell(4, source(f"loss = train(chapter.steps)  # {'x' * 60}")), "check", "a line of 91"),
    "an output that is cut": (
        in_cell(3, lambda cell: cell.outputs[0].update(text=f"{'x' * 84}\n")),
        "check",
        "code cell 3 prints a line of 84 letters, 83 fit",
    ),
    "a listing that is long": (
        in_cell(5, lambda cell: cell.outputs[0].data.update({"text/markdown": f"```python\n{LINE * 11}```\n"})),
        "check",
        "code cell 5 lists 11 lines, 10 are the limit",
    ),
    "a listing that is cut": (
        in_cell(5, lambda cell: cell.outputs[0].data.update({"text/markdown": f"```python\n{'x' * 84}\n```\n"})),
        "check",
        "code cell 5 prints a line of 84 letters, 83 fit",
    ),
    "stderr in an output": (in_cell(3, noisy), "check", "code cell 3 wrote to stderr: UserWarning: old"),
    "stderr from a fresh execution": (
        text_of("lib/tiny.py", "NUMBER = 7", "NUMBER = 7\nimport warnings\nwarnings.warn('new')"),
        "compare",
        "new",
    ),
    "a training that is not marked": (training_unmarked, "check", "code cell 4 trains; tag it nbval-ignore-output"),
    "a training of which nothing is claimed": (nothing_claimed, "check", "code cell 4 trains, and no later cell"),
    "a picture that does not say what it shows": (
        in_cell(6, lambda cell: cell.update(metadata=LIVE)),
        "check",
        "draws without saying what",
    ),
    "a picture without a caption": (
        in_cell(6, lambda cell: cell.metadata["mystnb"]["figure"].update(caption="Curves.")),
        "check",
        "makes a figure without a caption",
    ),
    "a picture without a name": (
        in_cell(6, lambda cell: cell.metadata["mystnb"]["figure"].update(name="")),
        "check",
        "needs a name of its own",
    ),
    "a table without a caption": (
        in_cell(3, lambda cell: cell.metadata.update(mystnb={"table": {"name": "tab-one", "caption": "Numbers."}})),
        "check",
        "makes a table without a caption",
    ),
    "a table without a name": (
        in_cell(3, lambda cell: cell.metadata.update(mystnb={"table": {"name": "one", "caption": "A row a seed."}})),
        "check",
        "needs a name of its own, tab-...",
    ),
    "a caption without a table": (
        in_cell(3, lambda cell: cell.metadata.update(mystnb={"table": {"name": "tab-one", "caption": "Numbers."}})),
        "check",
        "makes 0 tables, of which one can have a caption",
    ),
    "a table of which nothing is said": (
        in_cell(3, lambda cell: cell.outputs.append(A_TABLE)),
        "check",
        "makes a table without a caption",
    ),
    "two tables under one caption": (
        in_cell(3, lambda cell: cell.outputs.extend([A_TABLE, A_TABLE])),
        "check",
        "makes 2 tables, of which one can have a caption",
    ),
    "a picture that is too heavy": (
        in_cell(6, lambda cell: cell.outputs[0].data.update({"image/png": "A" * 300_001})),
        "check",
        "draws 300,001 bytes",
    ),
    "a folder of this machine in an output": (
        in_cell(3, lambda cell: cell.outputs[0].update(text="/Users/reader/results\n")),
        "check",
        "prints a place or a moment: /Users/r",
    ),
    "a link that leads nowhere": (
        text_of("book/index.md", "../chapters/01-one)", "../chapters/01-uno)"),
        "site --committed",
        "01-uno",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_book_is_refused(change: Change, words: str, told: str, book: Path, capfd: Any) -> None:
    change(book)
    capfd.readouterr()
    assert command(book, words) == 1
    said = capfd.readouterr()
    assert told in said.out + said.err


def test_the_whole_book_passes_and_does_not_pass_over_its_budget(book: Path, capfd: Any) -> None:
    """What breaks above is what was changed: as it is, the book passes, with its live cells timed."""
    slow = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    text_of("lib/tiny.py", "    return", f"    {slow.replace(chr(10), chr(10) + '    ').rstrip()}\n    return")(book)
    for words in CHECKED_BY_MAKE:
        assert command(book, words) == 0
    assert "live cells: 1 of 900 core-seconds (01-one 0." in capfd.readouterr().err
    assert command(book, "compare", "--budget", "0.4") == 1
    assert "core-seconds, 0 are allowed (01-one 0.5 s): train less" in capfd.readouterr().err


def test_what_may_be_stale_is_named_and_not_refused(book: Path) -> None:
    """The library changes, the outputs do not."""
    text_of("_toc.yml", "      - file: chapters/02-two", "      - file: chapters/02-two\n      - file: book/status")(
        book
    )
    (book / "book/status.md").write_text("# Status\n\n<!-- tables -->\n")
    assert command(book, "site --committed") == 0
    status = book / "build/site/html/book/status.html"
    assert "Every chapter was executed by today" in status.read_text()
    for field in ("processor", "python"):
        assert executed(book / "chapters/01-one.ipynb")[field] in status.read_text()

    text_of("lib/tiny.py", "NUMBER = 7", "NUMBER = 6 + 1")(book)
    assert command(book, "site --committed") == 0
    assert "Executed by earlier code, and perhaps out of date:</strong> One, Two." in status.read_text()
    for words in ("check", "compare"):
        assert command(book, words) == 0


def test_with_an_address_every_chapter_begins_by_installing(book: Path, capfd: Any) -> None:
    """A chapter that was opened elsewhere installs the library; without an address none does."""
    named = book / "pyproject.toml"
    named.write_text('[project.urls]\nRepository = "https://github.com/someone/book"\n')
    assert command(book, "check") == 1
    assert "01-one.ipynb: does not begin by installing from https://github.com/someone/book" in capfd.readouterr().err
    assert command(book, "launch") == 0
    told = capfd.readouterr().err
    assert "01-one.ipynb has another first cell" in told
    assert "02-two.ipynb has another first cell" in told
    assert command(book, "launch") == 0
    assert capfd.readouterr().err == ""
    assert command(book, "check") == 1
    told = capfd.readouterr().err
    assert "2 things are wrong" in told
    assert told.count("code cell 1 was never executed") == 2
    named.unlink()
    assert command(book, "check") == 1
    assert "installs from no known address" in capfd.readouterr().err


def test_make_test_runs_these_commands() -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "test"], cwd=makefile.parent, capture_output=True, text=True, check=True
    ).stdout
    for words in CHECKED_BY_MAKE:
        assert f"-m bookmaker {words}" in planned
