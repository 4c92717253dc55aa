"""What a page needs so that all can read it: folds that say what they hold, frames that scroll, roles that are true."""

import re

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode

REPAIRS = [
    # docutils gives the list of works roles that its entries do not fill
    (re.compile('<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (re.compile('(<div class="citation"[^>]*?) role="doc-biblioentry"'), r"\1"),
    # a fold is called what it shows
    (re.compile('<summary aria-label="Toggle hidden content">'), "<summary>"),
    # the corner of a table heads nothing
    (re.compile(r'<th(?: class="[^"]*")?>(?:<p></p>)?\s*</th>'), "<td></td>"),
]


def name_folds(app, doctree, docname):
    """Says what is folded away: a chapter's parameters, or the code of a figure, a table or another output."""
    for fold in list(doctree.findall(HideCodeCellNode)):
        kinds = {"figure": nodes.figure, "table": nodes.table, "output": nodes.literal_block}
        if fold.parent is None:  # the whole cell is folded away
            continue
        outputs = [part for part in fold.parent.children if part is not fold]
        html = "".join(raw.astext() for part in outputs for raw in part.findall(nodes.raw))
        made = [kind for kind, node in kinds.items() if any(True for part in outputs for _ in part.findall(node))]
        if "<table" in html:
            made.append("table")
        held = f"the code of this {made[0]}" if made else ""
        if "tag_parameters" in fold.parent["classes"]:
            held = "the parameters"
        if held and fold["prompt_show"] == app.config.nb_code_prompt_show:
            fold["prompt_show"], fold["prompt_hide"] = f"Show {held}", f"Hide {held}"


def frame_figures(app, doctree, docname):
    """A frame around each figure's picture, which scrolls where the caption does not."""
    for figure in doctree.findall(nodes.figure):
        picture = figure.children[0]
        frame = nodes.container(classes=["figure-frame"])
        figure.replace(picture, frame)
        frame += picture


def repair(app, pagename, templatename, context, doctree):
    """Mends what others write into the page."""
    for pattern, right in REPAIRS:
        context["body"] = pattern.sub(right, context.get("body", ""))


def setup(app):
    """Sphinx calls this."""
    app.connect("doctree-resolved", name_folds)
    app.connect("doctree-resolved", frame_figures)
    app.connect("html-page-context", repair, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
