"""Formulas as MathML, made when the site is built: no script sets them, and a screen reader can read them."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

MENDED = [
    # \dots between commas is no operator: no space around it
    (re.compile("<mo>&#x02026;</mo>"), "<mi>&#x02026;</mi>"),
    # 1/d, not 1 / d
    (re.compile("<mo>&#x0002F;</mo>"), '<mo lspace="0" rspace="0">/</mo>'),
    # capital Greek letters stand upright
    (re.compile("<mi>(&#x003(?:9[1-9A-F]|A[0-9]);)</mi>"), r'<mi mathvariant="normal">\1</mi>'),
    # ln d, not lnd
    (re.compile("(<mi>[a-z]{2,}</mi>)(?=<m(?:i|n|sub|sup|frac|sqrt))"), r'\1<mspace width="0.1667em"></mspace>'),
    # a minus after a sign belongs to what follows
    (
        re.compile("(&#x0003D;</mo>|&#x00028;</mo>|&#x0002C;</mo>)<mo>&#x02212;</mo>"),
        r'\1<mo form="prefix">&#x02212;</mo>',
    ),
]


def mathml(tex, display, where):
    """A formula; what the converter does not know is a warning, and so an error."""
    made = convert(tex.strip(), display=display)
    if "\\" in made or "merror" in made:
        logging.getLogger(__name__).warning("this formula could not be set: %s", tex, location=where)
    for pattern, right in MENDED:
        made = pattern.sub(right, made)
    return made


def visit_math(translator, node):
    translator.body.append(mathml(node.astext(), "inline", node))
    raise SkipNode


def visit_displaymath(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(mathml(node.astext(), "block", node) + "</div>\n")
    raise SkipNode


def setup(app):
    """Sphinx calls this."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
