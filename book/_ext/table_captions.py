"""A table that a chapter makes has a number and a caption above it: what its cell's metadata say under mystnb.table."""

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from search_index import is_cell
from sphinx.transforms import SphinxTransform
from sphinx.util import logging


class captioned_table(nodes.General, nodes.Element):  # noqa: N801  nodes have such names
    """A caption and its table. Inside the table, the caption would scroll sideways with it."""


class table_caption(nodes.caption):  # noqa: N801
    """The caption of a table."""


class CaptionTables(SphinxTransform):
    """Before figures and tables are numbered."""

    default_priority = 500

    def apply(self, **kwargs):
        for cell in list(self.document.findall(is_cell)):
            said = cell["cell_metadata"].get("mystnb", {}).get("table")
            if said is None:
                continue
            tables = list(cell.findall(nodes.table))
            if len(tables) != 1:
                message = f"one caption, {said['name']}, for {len(tables)} tables of a cell"
                logging.getLogger(__name__).warning(message, location=cell)
                continue
            frame = captioned_table(names=[nodes.fully_normalize_name(said["name"])])
            frame.source, frame.line = cell.source, cell.line
            tables[0].replace_self(frame)
            frame += [table_caption("", "", *self.inline(said["caption"])), tables[0]]
            self.document.note_explicit_target(frame, frame)

    def inline(self, text):
        """A paragraph of Markdown as nodes."""
        page = new_document("caption", self.document.settings)
        MystParser().parse(text, page)
        return page[0].children


def open_table(self, node):
    self.body.append(self.starttag(node, "figure", CLASS="captioned-table"))


def close_table(self, node):
    self.body.append("</figure>\n")


def open_caption(self, node):
    self.body.append("<figcaption>\n")
    self.visit_caption(node)


def close_caption(self, node):
    self.body.append("</span>")
    self.add_permalink_ref(node.parent, "Link to this table")
    self.body.append("</p></figcaption>\n")


def setup(app):
    """Sphinx calls this."""
    app.add_enumerable_node(captioned_table, "table", html=(open_table, close_table))
    app.add_node(table_caption, html=(open_caption, close_caption))
    app.add_transform(CaptionTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
