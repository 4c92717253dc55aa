"""The report's picture, and the report in one HTML file; both plain text that needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from lookahead.auditing.findings import Place, Verdict

COLORS = {"nothing": "#b8b8b8", "prompt": "#8f5a9e", "half": "#b39200", "last": "#b39200", "teacher": "#d55e00"}
"""As in the figures of the book: without a teacher, and with one."""
NAMES = {
    "nothing": "no prompt",
    "prompt": "prompt alone",
    "half": "half the teacher",
    "last": "prompt, last token",
    "teacher": "with the teacher",
}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 46, 40, 34


def told(places: Sequence[Place]) -> dict[str, str]:
    """What was measured of the tokens: the name of the field and what it is called."""
    return {name: text for name, text in NAMES.items() if any(getattr(place, name) is not None for place in places)}


def svg(places: Sequence[Place], decision: int | None) -> str:
    """Curves of held-out loss, with their intervals, against the answer's tokens; the decision is marked."""
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
            'fill="#fbe6d8"/>'
        )
    for tick in _ticks(high):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#e8e8e8"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    every = math.ceil(len(shown) / 24)
    for number, place in enumerate(shown):
        if number % every == 0:
            parts.append(
                f'<text x="{x(number):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{place.index}</text>'
            )
    for order, (name, text) in enumerate(told(shown).items()):
        color = COLORS[name]
        line = " ".join(f"{x(n):.1f},{y(getattr(place, name).value):.1f}" for n, place in enumerate(shown))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        for number, place in enumerate(shown):
            loss = getattr(place, name)
            if math.isfinite(loss.low):
                parts.append(
                    f'<line x1="{x(number):.1f}" x2="{x(number):.1f}" y1="{y(loss.low):.1f}" y2="{y(loss.high):.1f}" '
                    f'stroke="{color}" stroke-width="1.5"/>'
                )
            parts.append(f'<circle cx="{x(number):.1f}" cy="{y(loss.value):.1f}" r="3" fill="{color}"/>')
        parts.append(f'<text x="{LEFT + 150 * order}" y="16" fill="{color}" font-weight="bold">{text}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">token of the answer</text>')
    parts.append(
        f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})" text-anchor="middle">nats</text>'
    )
    title = "Held-out loss of every answer token: with no prompt, from the prompt alone, with the teacher's tokens"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="12"><title>{title}</title>{"".join(parts)}</svg>\n'
    )


def _ticks(high: float) -> list[float]:
    """Round numbers from 0 to a highest one."""
    step = 10 ** math.floor(math.log10(high))
    step = step if high / step >= 2.5 else step / 4
    return [step * number for number in range(int(high / step) + 1)]


def html(file: str, verdict: Verdict, text: str, picture: str) -> str:
    """The report as one page."""
    first, *others = verdict.reasons
    said = "".join(f"<p>{escape(line)}</p>" for line in others)
    helps = "".join(f"<li>{escape(name)}</li>" for name in verdict.remedies)
    remedies = f"<p>What learnt it:</p><ul>{helps}</ul>" if helps else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Audit of {escape(file)}</title>'
        "<style>body{font:16px/1.5 serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
        "pre{font-size:12px;overflow-x:auto}</style>"
        f"<h1>{escape(first)}</h1>{said}{remedies}{picture}<pre>{escape(text)}</pre></html>\n"
    )
