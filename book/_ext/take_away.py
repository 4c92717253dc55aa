"""What a reader can take away from a chapter: its notebook, its figures, the results; and where it can be run."""

import html
import json
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

FOLDER = "take-away"


def index(app):
    """What bookmaker.takeaway laid beside the pages; empty for a book without chapters."""
    file = Path(app.srcdir, FOLDER, "index.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"figures": {}, "chapters": {}}


def launches(repository, page):
    """Where a chapter can be run in the browser: name -> address; none without a repository on GitHub."""
    place = urlsplit(repository)
    if place.netloc != "github.com":
        return {}
    notebook = f"{page}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github{place.path}/blob/main/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh{place.path}/main?labpath={quote(notebook, safe='')}",
    }


def listed(app, page, up):
    """The list below a chapter."""
    found = index(app)["chapters"].get(page)
    if found is None:
        return ""
    name = Path(page).name
    repository = getattr(app.env, "about", {}).get("repository", "")
    parts = [f'<li><a href="{name}.ipynb" download>The notebook</a>, with its outputs: Jupyter opens it</li>']
    if found["figures"]:
        links = " ".join(
            f'<a href="{up}{FOLDER}/figures/{figure}.svg" download>{figure.partition("-")[2]}</a>'
            for figure in found["figures"]
        )
        parts.append(f"<li>The figures, as SVG: {links}</li>")
    if found["data"]:
        links = ", ".join(
            f'{data.replace("-", " ")} (<a href="{up}{FOLDER}/data/{data}.csv" download>one row per network</a>, '
            f'<a href="{up}{FOLDER}/data/{data}-curves.csv" download>one row per evaluation</a>)'
            for data in found["data"]
        )
        parts.append(f"<li>What was measured beforehand, as CSV: {links}</li>")
    there = launches(repository, page)
    if there:
        buttons = " ".join(f'<a class="launch" href="{html.escape(at)}">{name}</a>' for name, at in there.items())
        parts.append(f"<li>Run it in the browser, with nothing installed: {buttons}</li>")
    else:
        parts.append(
            "<li>To run it, the library must be installed; <a "
            f'href="{up}book/how-to-read.html#run-a-chapter-again">how to</a></li>'
        )
    return f'<section class="take-away"><h2>Take it away</h2><ul>{"".join(parts)}</ul></section>'


def add_list(app, pagename, templatename, context, doctree):
    """The list at the end of a chapter."""
    if doctree is not None:
        up = "../" * pagename.count("/")
        context["body"] = context.get("body", "") + listed(app, pagename, up)


def copy_files(app, error):
    """The notebooks, with their outputs, beside their pages; the folder with all else."""
    if error is not None or app.builder.format != "html":
        return
    for page in app.env.found_docs:
        if (notebook := Path(app.srcdir, f"{page}.ipynb")).is_file():
            shutil.copy(notebook, Path(app.outdir, f"{page}.ipynb"))
    if (there := Path(app.srcdir, FOLDER)).is_dir():
        shutil.copytree(
            there, Path(app.outdir, FOLDER), ignore=shutil.ignore_patterns("index.json"), dirs_exist_ok=True
        )


def setup(app):
    """Sphinx calls this."""
    app.connect("html-page-context", add_list, priority=740)
    app.connect("build-finished", copy_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
