"""The book's figures: one style, the same functions for live runs and for stored results."""

import matplotlib.pyplot as plt

from lookahead.figures.curves import curves
from lookahead.figures.graphs import draw_graph, draw_tokens, token_name
from lookahead.figures.style import (
    BLUE,
    COLORS,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    YELLOW,
    accuracy_axis,
    chance,
    figure,
    provenance,
    sign,
    use_style,
)

__all__ = [
    "BLUE",
    "COLORS",
    "FAINT",
    "GREEN",
    "INK",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "WIDTH",
    "YELLOW",
    "accuracy_axis",
    "chance",
    "curves",
    "draw_graph",
    "draw_tokens",
    "figure",
    "plt",
    "provenance",
    "sign",
    "token_name",
    "use_style",
]
