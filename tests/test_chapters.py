"""What every committed chapter keeps to."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from lookahead.chapter import build

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
ABSOLUTE = re.compile(r"(?<![\w:/.])/(?:home|root|tmp|Users|mnt|usr|opt)/\w|[A-Z]:\\\\")
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\b\d\d:\d\d:\d\d\b")

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)


def code_cells(chapter: Path) -> list:
    return [cell for cell in nbformat.read(chapter, as_version=4).cells if cell.cell_type == "code"]


def texts(output) -> str:
    """All that an output shows, pictures aside."""
    if output.output_type == "stream":
        return output.text
    shown = output.get("data", {})
    return "\n".join(str(text) for kind, text in shown.items() if not kind.startswith("image/"))


def test_the_chapters_are_those_of_the_table_of_contents():
    listed = build.listed(ROOT)
    assert sorted(listed) == CHAPTERS
    assert listed == CHAPTERS, "their numbers are their order"


def test_the_table_of_contents_names_each_page_once():
    names = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())
    assert len(names) == len(set(names))
    assert yaml.safe_load((ROOT / "_toc.yml").read_text())["format"] == "jb-book"


@every_chapter
def test_it_was_executed_once_from_the_top(chapter):
    code = [cell for cell in code_cells(chapter) if cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@every_chapter
def test_no_output_is_an_error_or_a_warning(chapter):
    for number, cell in enumerate(code_cells(chapter), start=1):
        for output in cell.outputs:
            assert output.output_type != "error", f"code cell {number}: {output.evalue}"
            assert output.get("name") != "stderr", f"code cell {number}: {output.text}"


@every_chapter
def test_parameters_are_literals(chapter):
    tagged = [cell for cell in code_cells(chapter) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign | ast.AnnAssign), ast.unparse(statement)
        assert statement.value is not None, ast.unparse(statement)
        ast.literal_eval(statement.value)


@every_chapter
def test_every_picture_has_alt_text(chapter):
    for number, cell in enumerate(code_cells(chapter), start=1):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20, f"code cell {number} draws without saying what: metadata mystnb.image.alt"


@every_chapter
def test_it_is_small_and_clean(chapter):
    text = chapter.read_text(encoding="utf-8")
    assert len(text.encode()) <= build.LARGEST
    assert text.endswith("\n")
    notebook = nbformat.reads(text, as_version=4)
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        assert not set(metadata) & set(build.VOLATILE)


@every_chapter
def test_outputs_do_not_say_where_or_when(chapter):
    for number, cell in enumerate(code_cells(chapter), start=1):
        for output in cell.outputs:
            assert str(ROOT) not in texts(output), f"code cell {number} names a folder of this machine"
            for pattern in (ABSOLUTE, MOMENT):
                found = pattern.search(texts(output))
                assert found is None, f"code cell {number}: {found and found.group()}"
