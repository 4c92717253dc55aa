"""What stands behind a figure is in a fold below its caption, and nothing where no results stand behind it."""

import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))

from figure_notes import FigureNotes


@pytest.mark.parametrize(("plain", "notes"), [("3 seeds, live on a laptop", 1), ("<Figure with 1 Axes>", 0)])
def test_the_plain_text_of_a_picture_is_its_figures_note(plain: str, notes: int) -> None:
    document = new_document("page")
    text = nodes.container("", nodes.paragraph("", plain), mime_type="text/plain")
    document += nodes.figure("", nodes.container("", text, nb_element="mime_bundle"), nodes.caption("", "A caption."))
    document += nodes.container("", text.deepcopy(), nb_element="mime_bundle")  # of another cell, which is no figure
    FigureNotes(document).run()
    found = list(document.findall(nodes.legend))
    assert len(found) == notes
    assert all("<details>" in note.astext() and plain in note.astext() for note in found)
