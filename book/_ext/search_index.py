"""The search finds what a reader reads: prose, captions, tables; no code of cells, nothing they print, no TeX."""

from docutils import nodes


def readable(doctree):
    """A copy of a page without what the search leaves out. Commands on pages that are no notebooks stay."""
    page = doctree.deepcopy()
    for cell in list(page.findall(is_cell)):
        for code in list(cell.findall(nodes.literal_block)):
            code.parent.remove(code)
    for formula in list(page.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))):
        formula.parent.remove(formula)
    return page


def is_cell(node):
    """Whether a node is a code cell of a notebook, its outputs included."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def index_the_readable(app):
    """Hands the index such copies."""
    if app.builder.format == "html":
        index = app.builder.index_page
        app.builder.index_page = lambda name, doctree, title: index(name, readable(doctree), title)


def setup(app):
    """Sphinx calls this."""
    app.connect("builder-inited", index_the_readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
