"""The report's picture, as text that needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from lookahead.auditing.findings import TOKENS, Place, Units

COLORS = {"nothing": "#767676", "prompt": "#8f5a9e", "half": "#8a7000", "last": "#8a7000", "teacher": "#c35500"}
"""As in the figures of the book: without a teacher, and with one; dark enough for letters on white."""
NAMES = {
    "nothing": "no prompt",
    "prompt": "prompt alone",
    "half": "half the teacher",
    "last": "prompt, last token",
    "teacher": "with the teacher",
}
AXES = {"token": "token of the answer, from 0", "part": "part of the answer", "field": "field of the answer"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 56, 40, 34


def told(places: Sequence[Place]) -> dict[str, str]:
    """What was measured of the tokens: the name of the field and what it is called."""
    return {name: text for name, text in NAMES.items() if any(getattr(place, name) is not None for place in places)}


def svg(places: Sequence[Place], decision: int | None, units: Units = TOKENS) -> str:
    """Curves of held-out loss, with their intervals, against the answer's tokens or parts; the decision is marked.

    On white, unless the page around it says otherwise: lines and letters have the class of what they show.
    """
    shown = [place for place in places if place.examples]
    high = max([0.1, *(place.nothing.value for place in shown), *(place.prompt.value for place in shown)]) * 1.08
    step = (WIDTH - LEFT - 20) / max(1, len(shown))

    def x(number: int) -> float:
        return LEFT + step * (number + 0.5)

    def y(loss: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(loss, 0.0), high) / high)

    parts = []
    for number in (number for number, place in enumerate(shown) if place.index == decision):
        parts.append(
            f'<rect x="{x(number) - step / 2:.1f}" y="{TOP}" width="{step:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            'fill="#d55e00" fill-opacity="0.16"/>'
        )
    for tick in _ticks(high):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            'stroke="#888" stroke-opacity="0.25"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    every = math.ceil(len(shown) / 24)
    for number, place in enumerate(shown):
        if number % every == 0:
            parts.append(
                f'<text x="{x(number):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                f"{escape(_fitting(units.label(place.index), step * every))}</text>"
            )
    for order, (name, text) in enumerate(told(shown).items()):
        color = COLORS[name]
        line = " ".join(f"{x(n):.1f},{y(getattr(place, name).value):.1f}" for n, place in enumerate(shown))
        parts.append(f'<g class="{name}" color="{color}">')
        parts.append(f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2"/>')
        for number, place in enumerate(shown):
            loss = getattr(place, name)
            if math.isfinite(loss.low):
                parts.append(
                    f'<line x1="{x(number):.1f}" x2="{x(number):.1f}" y1="{y(loss.low):.1f}" y2="{y(loss.high):.1f}" '
                    f'stroke="currentColor" stroke-width="{min(1.5, step / 3):.1f}"/>'
                )
            dot = f'cx="{x(number):.1f}" cy="{y(loss.value):.1f}" r="{min(3, step / 3):.1f}"'
            parts.append(f'<circle {dot} fill="currentColor"/>')
        at = f'x="{LEFT + 150 * order}" y="16"'
        parts.append(f'<text {at} class="{name}" fill="currentColor" font-weight="bold">{text}</text></g>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{AXES[units.kind]}</text>')
    parts.append(
        f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})" text-anchor="middle">nats</text>'
    )
    title = (
        f"Held-out loss of every {units.kind} of the answers: with no prompt, from the prompt alone, with the "
        "teacher's tokens"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="12" style="background:white"><title>{title}</title>{"".join(parts)}</svg>\n'
    )


def _fitting(text: str, width: float) -> str:
    """A text, cut to so many pixels."""
    letters = max(2, int(width / 7))
    return text if len(text) <= letters else f"{text[: letters - 1]}\N{HORIZONTAL ELLIPSIS}"


def _ticks(high: float) -> list[float]:
    """Round numbers from 0 to a highest one."""
    step = 10 ** math.floor(math.log10(high))
    step = step if high / step >= 2.5 else step / 4
    return [step * number for number in range(int(high / step) + 1)]
