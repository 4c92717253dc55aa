"""The library's reference from its docstrings, by autodoc: a signature, the first lines, the file."""

import argparse
import importlib
import inspect
import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import lookahead
from lookahead import cli
from lookahead.contracts import Model, Objective, Task
from lookahead.registry import REQUIRED, Named

KINDS = {"tasks": Task, "models": Model, "objectives": Objective}
MOST = 2
"""Paragraphs that an entry shows."""
SECTION = re.compile(r"(?:Args|Returns|Raises|Yields|Shapes|Example):")
LIBRARY = Path(lookahead.__file__).parents[1]
FITS = 83
"""Letters in a line that fit on a page."""


def entries(dotted, members=()):
    """One object for autodoc, in the page's own markup."""
    found = resolve(dotted)
    kind = "function" if not inspect.isclass(found) else "exception" if issubclass(found, Exception) else "class"
    lines = ["```{eval-rst}", f".. auto{kind}:: {dotted}"]
    lines += [f"   :members: {', '.join(members)}", "   :member-order: bysource"] if members else []
    return [*lines, "```", ""]


def resolve(dotted):
    """The object of that name; AttributeError if there is none."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


class Objects(SphinxDirective):
    """Objects by their dotted names, a line each; after a colon the members that are shown."""

    has_content = True

    def run(self):
        lines = []
        for line in filter(None, map(str.strip, self.content)):
            dotted, _, members = line.partition(":")
            lines += entries(dotted.strip(), [name.strip() for name in members.split(",") if name.strip()])
        return parsed(self, lines)


class Registered(SphinxDirective):
    """All tasks, models or objectives that the library registers, by name: a new file is listed by itself."""

    required_arguments = 1

    def run(self):
        known = KINDS[self.arguments[0]].known.values()
        own = sorted((kind for kind in known if kind.__module__.startswith("lookahead.")), key=lambda kind: kind.name)
        return parsed(self, [line for kind in own for line in entries(f"{kind.__module__}.{kind.__name__}")])


class Command(SphinxDirective):
    """What a command of `lookahead` takes, as it says itself with --help."""

    required_arguments = 1

    def run(self):
        said = commands()[self.arguments[0]]
        return [nodes.literal_block(said, said, language="text")]


def commands():
    """Command -> its help, as wide as a page."""
    parts = next(part for part in cli.parser()._actions if isinstance(part, argparse._SubParsersAction))
    found = {}
    for name, one in parts.choices.items():
        one.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=FITS)
        found[name] = one.format_help()
    return found


def parsed(directive, lines):
    """What lines of the page's markup become."""
    place = nodes.container(classes=["api"])
    directive.state.nested_parse(directive.content.__class__(lines, source="api"), directive.content_offset, place)
    return [place]


def first_lines(app, what, name, thing, options, lines):
    """Keeps the first paragraphs of a docstring, as text of this kind of markup, and says where the code is."""
    kept = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if not paragraph.strip() or SECTION.match(paragraph) or paragraph.startswith("    "):
            break
        kept.append(" ".join(paragraph.split()))
    lines[:] = [line for paragraph in kept[:MOST] for line in (in_rst(paragraph), "")]
    if inspect.isclass(thing) or what == "function":
        file = Path(inspect.getsourcefile(inspect.unwrap(thing))).resolve().relative_to(LIBRARY.resolve())
        address = getattr(app.env, "about", {}).get("repository", "")
        shown = f"lib/{file.as_posix()}"
        place = f"`{shown} <{address}/blob/main/{shown}>`__" if address else f"``{shown}``"
        registered = inspect.isclass(thing) and issubclass(thing, Named) and getattr(thing, "name", "")
        called = f"Called ``{thing.name}``. " if registered else ""
        lines += [f"{called}{place}", ""]


def in_rst(text):
    """Markdown's `code` as literal, everything else as it is written."""
    parts = re.split(r"(`+)(.+?)\1", text)
    told = [
        f"``{part}``" if at % 3 == 2 else re.sub(r"([\\_|]|(?<!\*)\*(?!\*))", r"\\\1", part)
        for at, part in enumerate(parts)
        if at % 3 != 1
    ]
    return "".join(told)


def options_alone(app, what, name, thing, options, signature, returned):
    """The signature of what is registered: its options, without what the library supplies."""
    if what != "class" or not issubclass(thing, Named) or not getattr(thing, "name", ""):
        return None
    shown = [key if value is REQUIRED else f"{key}={value!r}" for key, value in thing.options().items()]
    return f"({', '.join(shown)})", None


def setup(app):
    """Sphinx calls this."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("objects", Objects)
    app.add_directive("registered", Registered)
    app.add_directive("command", Command)
    app.connect("autodoc-process-docstring", first_lines)
    app.connect("autodoc-process-signature", options_alone)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
