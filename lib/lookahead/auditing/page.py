"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from lookahead.auditing.report import COIN, MEANING

if TYPE_CHECKING:
    from lookahead.auditing.report import Audit, Shown

LONG = 24
"""Lines of a table from which on it is folded."""
STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --ground: #fff; --faint: #d0d0d0; --pale: #f4f2ef;
  --nothing: #767676; --prompt: #8f5a9e; --other: #8a7000; --teacher: #c35500 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e2de; --ground: #191a1c; --faint: #45474b; --pale: #25272a;
  --nothing: #a0a0a0; --prompt: #c795d6; --other: #d5b93c; --teacher: #ff9448 } }
body { font: 17px/1.55 Georgia, serif; max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  color: var(--ink); background: var(--ground) }
h1 { font-size: 1.55rem; line-height: 1.3; margin: .2rem 0 1rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .6rem 0; overflow-wrap: anywhere }
.asked { color: var(--nothing); margin: 0 0 .4rem }
code { font-size: .9em }
.wide { overflow-x: auto; margin: .8rem 0 }
svg { min-width: 34rem; width: 100%; display: block; background: none !important; fill: var(--ink) }
.nothing { color: var(--nothing) } .prompt { color: var(--prompt) } .half, .last { color: var(--other) }
.teacher { color: var(--teacher) }
table { border-collapse: collapse; font: 14px/1.4 system-ui, sans-serif; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--faint); white-space: nowrap }
tr.decision { background: var(--pale); font-weight: bold }
pre { font-size: 14px; background: var(--pale); padding: .6rem .8rem; margin: .5rem 0; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 14rem; overflow-y: auto }
mark { background: var(--teacher); color: var(--ground); padding: 0 .15em }
summary { cursor: pointer }
"""


def page(audit: Audit) -> str:
    """The report."""
    first, *others = audit.verdict.reasons
    file = escape(audit.file)
    parts = [
        f'<p class="asked">Does next-token training on {file} teach to plan, or invite to cheat?</p>',
        f"<h1>{escape(first)}</h1>",
        f"<p>{escape(MEANING[audit.verdict.answer])}</p>",
    ]
    if audit.shown:
        which = (
            "that token (the first is token 0)"
            if audit.units.kind == "token"
            else f"the most expensive token of that {audit.units.kind}"
        )
        parts.append(f"<p>Held-out examples, with {which} marked:</p>")
        parts += map(_example, audit.shown)
    if audit.advice:
        parts += ["<h2>What to do</h2>", _listed(audit.advice)]
    parts += ["<h2>Why</h2>", *(f"<p>{escape(line)}</p>" for line in others)]
    if audit.places:
        parts += [
            "<h2>What each part of the answer costs</h2>",
            "<p>Loss on held-out examples, in nats: 0 is certain, "
            f"{COIN:.2f} a coin toss. The bars are 95% intervals. What the prompt tells lies between the first line "
            "and the second, what the true tokens before add lies between the second and the last.</p>",
            f'<div class="wide">{audit.svg()}</div>',
            _table(*audit.place_rows()),
            "<h2>The same answers, read in other ways</h2>",
            "<p>If another way makes the whole answer cheaper, the prompt does tell what the teacher hides.</p>",
            _table(*audit.order_rows()),
        ]
    parts += ["<h2>What was audited</h2>", *(f"<p>{escape(line)}</p>" for line in audit.about())]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit of {file}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _listed(texts: Sequence[str]) -> str:
    items = (re.sub("`(.+?)`", r"<code>\1</code>", escape(text)) for text in texts)
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _example(shown: Shown) -> str:
    answer = f"{escape(shown.before)}<mark>{escape(shown.token)}</mark>{escape(shown.behind)}"
    return f"<pre>{escape(shown.prompt)}\n\N{RIGHTWARDS ARROW} {answer}</pre>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a long one is folded."""
    names = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = []
    for row in rows:
        marked = ' class="decision"' if row[0].endswith(" <") else ""
        cells = "".join(f"<td>{escape(cell.removesuffix(' <'))}</td>" for cell in row)
        body.append(f"<tr{marked}>{cells}</tr>")
    whole = f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    return f"<details><summary>As a table</summary>{whole}</details>" if len(rows) > LONG else whole
