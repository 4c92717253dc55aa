"""What a page says of itself: how long it takes, its notebook, who wrote it when, what to cite, where to report."""

import html
import json
import math
import shutil
from pathlib import Path
from urllib.parse import quote

from docutils import nodes

WORDS_A_MINUTE = 200
"""Of prose with formulas, read to be understood."""
LONGEST = 300
"""Letters of a description: search engines cut what is longer."""


def read_about(app):
    """What bookmaker.about found, laid beside the configuration."""
    file = Path(app.srcdir, "about.json")
    app.env.about = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def paragraphs(doctree):
    """The prose: no code, no tables, no outputs of cells but the captions of figures."""
    for node in doctree.findall(lambda n: isinstance(n, nodes.paragraph | nodes.caption | nodes.title)):
        if not any(isinstance(above, nodes.table) for above in ancestors(node)):
            yield node


def ancestors(node):
    while node := node.parent:
        yield node


def minutes(doctree):
    """The time it takes to read a page, at least one minute."""
    words = sum(len(node.astext().split()) for node in paragraphs(doctree))
    return max(1, math.ceil(words / WORDS_A_MINUTE))


def description(doctree):
    """The first paragraph, cut at a word."""
    first = next((node.astext() for node in doctree.findall(nodes.paragraph)), "")
    text = " ".join(first.split())
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"


def executed(app, pagename):
    """What the execution of a page's notebook left in it; empty for a page that is none."""
    notebook = Path(app.srcdir, f"{pagename}.ipynb")
    if not notebook.is_file():
        return {}
    said = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("lookahead", {})
    return {"wall_seconds": 0, "found_runs": 0, **said}


def duration(seconds):
    """40 seconds, 3 minutes."""
    return plural(round(seconds), "second") if seconds < 60 else plural(round(seconds / 60), "minute")


def plural(count, noun):
    """1 minute, 2 minutes."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def found(runs):
    """What an execution did not train, and so is not in its time."""
    return f"; {plural(runs, 'network')} trained earlier by the same code" if runs else ""


def byline(app, pagename, context, doctree):
    """The line under the heading."""
    about, said = app.env.about, []
    if pagename == app.config.root_doc:
        pages = [app.env.get_doctree(page) for page in sorted(app.env.found_docs)]
        said += [html.escape(about.get("authors", ""))]
        said += [f"version {about['version']}"] if "version" in about else []
        said += [about.get("date", ""), f"about {max(10, round(sum(map(minutes, pages)), -1))} minutes to read in all"]
        said += [f'<a href="{about["repository"]}">code</a>'] if "repository" in about else []
    else:
        said.append(f"{plural(minutes(doctree), 'minute')} to read")
        if notebook := executed(app, pagename):
            if notebook["wall_seconds"]:
                said.append(f"executed in {duration(notebook['wall_seconds'])}{found(notebook['found_runs'])}")
            here = Path(pagename).name + ".ipynb"
            said.append(f'<a href="{here}" download>download the notebook</a>')
        if "repository" in about:
            said.append(f'<a href="{context["report"]}">report a mistake</a>')
    return '<p class="byline">' + " · ".join(filter(None, said)) + "</p>"


def add_facts(app, pagename, templatename, context, doctree):
    """Fills in the templates' names, the head of the page and the line under its heading."""
    about = app.env.about
    context["about"] = about
    context["report"] = about.get("repository", "") + "/issues/new?title=" + quote(f"{pagename}: ")
    if doctree is None:
        return
    number = ".".join(map(str, app.env.toc_secnumbers.get(pagename, {}).get("", ())))
    title = html.unescape(nodes.unescape(app.env.titles[pagename].astext()))
    told, book = html.escape(description(doctree)), html.escape(app.config.html_title or app.config.project)
    kind = "book" if pagename == app.config.root_doc else "article"
    properties = {"og:title": html.escape(title), "og:type": kind, "og:site_name": book, "og:description": told}
    head = [f'<meta name="description" content="{told}" />']
    head += [f'<meta property="{name}" content="{value}" />' for name, value in properties.items()]
    running = f"{number}. {title}" if number else title
    head.append(f"<style>@page {{ @top-left {{ content: {json.dumps(running, ensure_ascii=False)}; }} }}</style>")
    context["metatags"] = context.get("metatags", "") + "\n".join(head)
    context["body"] = context["body"].replace("</h1>", "</h1>\n" + byline(app, pagename, context, doctree), 1)


def copy_licence(app, error):
    """The licence, to which every page links."""
    if error is None and app.builder.format == "html" and (licence := Path(app.srcdir, "LICENSE")).is_file():
        shutil.copy(licence, Path(app.outdir, "LICENSE.txt"))


def setup(app):
    """Sphinx calls this."""
    app.connect("builder-inited", read_about)
    app.connect("html-page-context", add_facts, priority=800)
    app.connect("build-finished", copy_licence)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
