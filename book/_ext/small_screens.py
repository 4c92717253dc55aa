"""Figures for small screens: where there is no room for the wide one, the browser loads the narrow one in its place."""

import re
from pathlib import Path

from docutils import nodes
from take_away import FOLDER

NARROW = {f"{FOLDER}/narrow": f"{FOLDER}/narrow", "book/static/narrow": "_static/narrow"}
"""Where narrow figures lie, by the name of the figure or of its file; and where they are on the site."""
SMALL = "screen and (max-width: 38rem)"
"""Narrower than a figure with type of 9 pixels; paper is not (book.css has the same width)."""
SIDES = re.compile(r"\bLeft\b|\bthe left\b")
"""What is said of panels beside each other."""


def narrow(app, frame, picture):
    """The file of the narrow figure, and where it is on the site; or nothing."""
    names = [*frame.parent.get("ids", ()), Path(picture["uri"]).stem]
    for folder, address in NARROW.items():
        for name in names:
            if (file := Path(app.srcdir, folder, f"{name}.svg")).is_file():
                return file, f"{address}/{name}.svg"
    return None


def height(file):
    """Of a figure in points; it is another where panels stand below each other."""
    return float(re.search(r'<svg[^>]* height="([\d.]+)pt"', file.read_text(encoding="utf-8"))[1])


def offer(app, doctree, docname):
    """Names the narrow figure beside each wide one that has it; to those who listen there is one image.

    Where the text says "left" of what stands above, the page says so (book.css).
    """
    up = "../" * docname.count("/")
    for frame in list(doctree.findall(is_frame)):
        for picture in list(frame.findall(nodes.image)):
            if found := narrow(app, frame, picture):
                file, address = found
                told = " ".join(part.astext() for part in frame.parent.children if part is not frame)
                if SIDES.search(told) and height(file) > height(Path(app.srcdir, picture["uri"])):
                    frame["classes"].append("stacked")
                source = f'<picture><source media="{SMALL}" srcset="{up}{address}" />'
                begin, end = (nodes.raw("", text, format="html") for text in (source, "</picture>"))
                picture.replace_self([begin, picture.deepcopy(), end])


def is_frame(node):
    """Whether a node is the frame of a figure's picture."""
    return isinstance(node, nodes.container) and "figure-frame" in node["classes"]


def setup(app):
    """Sphinx calls this."""
    app.connect("doctree-resolved", offer, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
