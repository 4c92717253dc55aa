"""A tiny book, executed and built by the same functions as the real one."""

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

import tiny_book
from bookmaker import execution, notebooks, site
from bookmaker.__main__ import main
from lookahead.errors import LookaheadError

TOC = tiny_book.TOC.replace("      - file: chapters/02-two\n", "")


def write_chapter(root: Path, *sources: str, name: str = "01-one") -> Path:
    cells = [new_markdown_cell("# One"), *(new_code_cell(source) for source in sources)]
    path = root / "chapters" / f"{name}.ipynb"
    metadata = {
        "kernelspec": {"display_name": "Mine", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": "3.11.7"},
        "papermill": {"duration": 1.5},
    }
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("book", "chapters", "lib/lookahead", "results/runs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "_config.yml").write_text(tiny_book.CONFIG)
    (tmp_path / "requirements.txt").write_text("nothing==1\n")
    (tmp_path / "lib/lookahead/code.py").write_text("x = 1\n")
    (tmp_path / "book/index.md").write_text("# Tiny\n")
    return tmp_path


def outputs(path: Path) -> list:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def pretend_executed(root: Path, chapter: Path) -> Path:
    """A copy as an execution leaves it, in no time."""
    copy = execution.executed_copy(root, chapter)
    copy.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(chapter, as_version=4)
    notebook.metadata["lookahead"] = {"fingerprint": execution.fingerprint(root, chapter)}
    nbformat.write(notebook, copy)
    return copy


def test_execution_writes_outputs_without_volatile_metadata(root, capfd):
    chapter = write_chapter(root, "import os\nprint('a', flush=True)\nprint('b')", "os.environ['OMP_NUM_THREADS']")
    assert main(["--root", str(root), "chapters", "--in-place"]) == 0
    notebook = nbformat.read(chapter, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2]
    assert [output.text for output in code[0].outputs] == ["a\nb\n"]
    assert code[1].outputs[0].data["text/plain"] == "'1'"
    assert set(notebook.metadata) == {"kernelspec", "language_info", "lookahead"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(not cell.metadata for cell in notebook.cells)

    said = notebook.metadata.lookahead
    assert said.wall_seconds > 0
    assert 2**20 < said.peak_memory_bytes < 2**33
    assert said.fingerprint == execution.fingerprint(root, chapter)
    assert not {"processor", "torch", "commit", "live_cpu_seconds"} - set(said)

    written, when = chapter.read_bytes(), chapter.stat().st_mtime_ns
    capfd.readouterr()
    assert main(["--root", str(root), "chapters", "--in-place"]) == 0
    assert "executed already" in capfd.readouterr().err
    assert (chapter.read_bytes(), chapter.stat().st_mtime_ns) == (written, when)


def test_a_raising_cell_is_told_and_changes_nothing(root, capfd):
    (root / "_toc.yml").write_text(TOC + "      - file: chapters/02-two\n")
    bad = write_chapter(root, "print('before')", "number = 0\n1 / number")
    good = write_chapter(root, "print('fine')", name="02-two")
    before = bad.read_bytes()
    assert main(["--root", str(root), "chapters", "--in-place"]) == 1
    told = capfd.readouterr().err
    assert "01-one FAILED" in told
    assert "code cell 2 raised ZeroDivisionError: division by zero" in told
    assert "    1 / number" in told
    assert bad.read_bytes() == before
    assert not execution.current(root, bad)
    assert execution.current(root, good)
    assert outputs(good)[0][0].text == "fine\n"
    with pytest.raises(LookaheadError, match="01-one is not executed"):
        site.site(root, root / "build" / "site")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chapters", "--jobs", "0"], "argument --jobs: at least 1, not '0'"),
        (["compare", "--jobs", "-1"], "argument --jobs: at least 1, not '-1'"),
        (["compare", "--budget", "nan"], "argument --budget: a number of seconds, not 'nan'"),
    ],
)
def test_numbers_that_cannot_be(root, arguments, said, capsys):
    with pytest.raises(SystemExit):
        main(["--root", str(root), *arguments])
    assert said in capsys.readouterr().err


def test_what_is_current_is_decided_by_content(root):
    chapter = write_chapter(root, "x = 1")
    assert not execution.current(root, chapter)
    pretend_executed(root, chapter)
    assert execution.current(root, chapter)

    for file in (chapter, root / "lib/lookahead/code.py"):
        os.utime(file, (1, 1))
    (root / "results/runs/working.json").write_text("1")
    (root / "lib/bookmaker").mkdir()
    (root / "lib/bookmaker/site.py").write_text("the_builder = 1\n")
    for stray in (".code.py.swp", ".#code.py", "code.py~", ".DS_Store", ".ipynb_checkpoints/code.py", "code.py.orig"):
        (root / "lib/lookahead" / stray).parent.mkdir(exist_ok=True)
        (root / "lib/lookahead" / stray).write_text("a stray\n")
    for stray in (".DS_Store", ".a.parquet.x7k.part", "a.parquet.part", "a-quick.parquet"):
        (root / "results" / stray).write_text("a stray\n")
    assert execution.current(root, chapter)

    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[0].source = "# Another title"
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="old")]
    nbformat.write(notebook, chapter)
    assert execution.current(root, chapter), "neither prose nor outputs determine the outputs"


@pytest.mark.parametrize(
    "changed",
    [
        "lib/lookahead/code.py",
        "lib/lookahead/data.json",
        "results/a-census.parquet",
        "results/speed.json",
        "requirements.txt",
        "requirements.lock",
    ],
)
def test_a_changed_input_makes_stale(root, changed):
    chapter = write_chapter(root, "x = 1")
    pretend_executed(root, chapter)
    (root / changed).parent.mkdir(exist_ok=True)
    (root / changed).write_text("changed")
    assert not execution.current(root, chapter)


STRAY = [
    *(".code.py.swp", ".#code.py", "#code.py#", "code.py~", "code.py.orig", "code.pyc", ".DS_Store", "._code.py"),
    *(".a.parquet.x1y2.part", "a.parquet.corrupt", "a-quick.parquet", "notes.txt", "Thumbs.db", ".nfs0001"),
    *("__pycache__/code.pyc", ".ipynb_checkpoints/code.py", "lookahead.egg-info/top.json", ".git/a.json"),
]


@pytest.mark.parametrize("room", ["lib", "lib/lookahead", "results", "book/data"])
def test_a_stray_file_makes_nothing_stale(root, room):
    chapter = write_chapter(root, "x = 1")
    pretend_executed(root, chapter)
    for name in STRAY:
        file = root / room / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("stray")
    (root / room / "gone.py").symlink_to(root / "nowhere")
    assert execution.current(root, chapter)


def test_changed_code_makes_stale(root):
    chapter = write_chapter(root, "x = 1")
    pretend_executed(root, chapter)
    write_chapter(root, "x = 2")
    assert not execution.current(root, chapter)


def test_a_chapter_that_grew_too_large_is_refused(root):
    chapter = write_chapter(root, "x = 1")
    before = chapter.read_bytes()
    pretend_executed(root, chapter)
    copy = execution.executed_copy(root, chapter)
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="x" * notebooks.LARGEST)]
    nbformat.write(notebook, copy)
    with pytest.raises(LookaheadError, match=rf"01-one.ipynb would be {notebooks.LARGEST / 1e6:.1f} MB"):
        execution.write_back(root, chapter)
    assert chapter.read_bytes() == before


def test_a_chapter_edited_meanwhile_is_refused(root):
    chapter = write_chapter(root, "x = 1")
    pretend_executed(root, chapter)
    write_chapter(root, "x = 2")
    with pytest.raises(LookaheadError, match="edited while it was executed"):
        execution.write_back(root, chapter)


def test_a_chapter_that_is_not_there(root):
    with pytest.raises(LookaheadError, match=r"lists what is not there: chapters/01-one\.ipynb"):
        notebooks.listed(root)


def test_the_site_is_built_once_and_warnings_are_errors(root):
    write_chapter(root, "x = 1")
    page = site.site(root, root / "build" / "site", committed=True)
    assert "One" in (page.parent / "chapters" / "01-one.html").read_text()
    when = page.stat().st_mtime_ns
    assert site.site(root, root / "build" / "site", committed=True).stat().st_mtime_ns == when

    (root / "book/index.md").write_text("# Tiny\n\nThe number is {glue:text}`nobody-glued-this:.2f`.\n")
    with pytest.raises(LookaheadError, match="nobody-glued-this"):
        site.site(root, root / "build" / "site", committed=True)
    assert not page.exists()


def test_comparing_sees_another_output(root, capfd):
    (root / "tests/chapter").mkdir(parents=True)
    (root / "tests/chapter/sanitize.cfg").write_text("[none]\nregex: nothing-like-this\nreplace: X\n")
    chapter = write_chapter(root, "print('now')")
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="then\n")]
    notebook.cells[1].execution_count = 1
    nbformat.write(notebook, chapter)
    assert main(["--root", str(root), "compare", "--jobs", "1"]) == 1
    notebook.cells[1].outputs[0].text = "now\n"
    nbformat.write(notebook, chapter)
    assert main(["--root", str(root), "compare", "--jobs", "1"]) == 0
    capfd.readouterr()
    assert main(["--root", str(root), "compare", "--jobs", "1"]) == 0
    assert "compared already" in capfd.readouterr().err


def test_the_builder_does_not_load_torch():
    code = "import sys, bookmaker.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pictures_are_made_lighter_once_and_keep_their_size():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 4), dtype=np.uint8)
    raw = io.BytesIO()
    Image.fromarray(noise, "RGBA").save(raw, "PNG")
    before = base64.b64encode(raw.getvalue()).decode()
    after = notebooks.lighter(before)
    assert len(after) < len(before) / 2
    assert Image.open(io.BytesIO(base64.b64decode(after))).size == (80, 60)
    assert notebooks.lighter(after) == after


def test_a_kernel_that_never_answered_is_started_once_more(root, monkeypatch, capfd):
    chapter = write_chapter(root, "print('fine')")
    asked = []
    monkeypatch.setattr(execution.Execution, "never_began", lambda self: asked.append(self.chapter) is None)
    assert execution.execute(root, [chapter]) == []
    assert asked == [chapter, chapter]
    assert "its kernel never answered; once more" in capfd.readouterr().err
    assert execution.current(root, chapter)
