"""The definition of each term that a page links to, laid into the page; book.js shows it beside the link."""

from docutils import nodes
from sphinx import addnodes


def definitions(app):
    """Anchor of a term: the words and the HTML of its definition."""
    if not hasattr(app.env, "definitions"):
        app.env.definitions = {}
        objects = app.env.get_domain("std").get_objects()
        for page in sorted({page for _, _, kind, page, _, _ in objects if kind == "term"}):
            app.env.definitions |= dict(entries(app, page))
    return app.env.definitions


def entries(app, page):
    """Those of one page. Links in them are text: they were made for another place."""
    for glossary in app.env.get_and_resolve_doctree(page, app.builder).findall(addnodes.glossary):
        for link in list(glossary.findall(nodes.reference)):
            link.replace_self(link.children)
        for item in glossary.findall(nodes.definition_list_item):
            definition = "".join(app.builder.render_partial(part)["fragment"] for part in item.children[-1].children)
            for term in item.findall(nodes.term):
                for anchor in term["ids"]:
                    yield anchor, definition


def links(doctree):
    """The anchors of terms that a page links to, each once."""
    found = [node.get("refid") or node.get("refuri", "").partition("#")[2] for node in doctree.findall(nodes.reference)]
    return list(dict.fromkeys(anchor for anchor in found if anchor.startswith("term-")))


def add_notes(app, pagename, templatename, context, doctree):
    """Hidden notes at the end of the page, one a term."""
    if doctree is None:
        return
    known = definitions(app)
    notes = [
        f'<div class="term-note" id="note-{anchor}" role="tooltip" popover="manual">{known[anchor]}</div>'
        for anchor in links(doctree)
        if anchor in known
    ]
    context["body"] += "\n".join(notes)


def setup(app):
    """Sphinx calls this."""
    app.connect("html-page-context", add_notes, priority=750)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
