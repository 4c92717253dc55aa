"""What stands behind a figure, its plain text, goes into a fold below its caption."""

from docutils import nodes
from myst_nb.sphinx_ import SelectMimeType
from sphinx.transforms.post_transforms import SphinxPostTransform


class FigureNotes(SphinxPostTransform):
    """Before one kind of output is chosen, the plain text of a signed picture is kept as its figure's note."""

    default_priority = SelectMimeType.default_priority - 1

    def run(self, **kwargs):
        for figure in self.document.findall(nodes.figure):
            for output in figure.findall(is_plain):
                said = output.astext()
                if said.startswith("<"):  # the name of a class: no results stand behind this figure
                    continue
                begin = nodes.raw("", "<details><summary>Measured</summary>", format="html")
                end = nodes.raw("", "</details>", format="html")
                figure.append(nodes.legend("", begin, nodes.paragraph("", said), end))


def is_plain(node):
    """Whether a node is the plain text of an output."""
    return isinstance(node, nodes.container) and node.get("mime_type") == "text/plain"


def setup(app):
    """Sphinx calls this."""
    app.add_post_transform(FigureNotes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
