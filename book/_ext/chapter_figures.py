"""Figures that are not drawn where they stand: a chapter's on another page, and those that can be gone through."""

import html
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from take_away import FOLDER, index


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
        uri = f"/{FOLDER}/figures/{name}.svg"
        frame = nodes.container("", nodes.image(uri=uri, alt=known[name]["alt"]), classes=["figure-frame"])
        said = nodes.container(classes=["chapter-figure-text"])
        link = f"{{numref}}`Figure {{number}} in its chapter <{name}>`"
        self.state.nested_parse([*self.content, "", link], self.content_offset, said)
        return [nodes.container("", frame, said, classes=["chapter-figure"])]


class Moving(SphinxDirective):
    """Below a still figure the same results at each training step; moving.js draws them, the content says what."""

    required_arguments = 1
    has_content = True

    def run(self):
        (name,) = self.arguments
        told = " ".join(self.content)
        numbers = Path(self.env.srcdir, FOLDER, "moving", f"{name}.json").read_text(encoding="utf-8")
        page = (
            f'<section class="moving" id="moving-{name}" aria-label="{html.escape(told)}">'
            f"<p>{html.escape(told)}</p>"
            f'<script type="application/json">{numbers}</script></section>'
        )
        return [nodes.raw("", page, format="html")]


def setup(app):
    """Sphinx calls this."""
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("moving", Moving)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
