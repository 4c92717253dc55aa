"""A figure of a chapter on another page, as the chapter's notebook has it: {chapter-figure} with a link to its place."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from take_away import index


class ChapterFigure(SphinxDirective):
    """The picture of a chapter's figure, and below it the link; the content is what is said of it."""

    required_arguments = 1
    has_content = True

    def run(self):
        (name,) = self.arguments
        known = index(self.env.app)["figures"]
        if name not in known:
            message = f"no chapter has a figure called {name}"
            return [self.state_machine.reporter.warning(message, line=self.lineno)]
        uri = f"/take-away/figures/{name}.svg"
        frame = nodes.container("", nodes.image(uri=uri, alt=known[name]["alt"]), classes=["figure-frame"])
        said = nodes.container(classes=["chapter-figure-text"])
        link = f"{{numref}}`Figure {{number}} in its chapter <{name}>`"
        self.state.nested_parse([*self.content, "", link], self.content_offset, said)
        return [nodes.container("", frame, said, classes=["chapter-figure"])]


def setup(app):
    """Sphinx calls this."""
    app.add_directive("chapter-figure", ChapterFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
