"""What the site needs to stand on its own: MathJax from this environment, each script once, no thebe."""

import importlib.util
from pathlib import Path

from sphinx.util.fileutil import copy_asset

PACKAGE = "sphinx-mathjax-offline"
NEEDED = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")


def copy_mathjax(app, error):
    """Copies one script and its fonts: 2 of the package's 24 MB."""
    spec = importlib.util.find_spec(PACKAGE)
    if error is None and app.builder.format == "html":
        mathjax = Path(spec.submodule_search_locations[0]) / "static" / "mathjax"
        for name in NEEDED:
            target = Path(app.outdir, "_static", "mathjax", name)
            copy_asset(mathjax / name, target if (mathjax / name).is_dir() else target.parent)


def script_key(script):
    attributes = {name: value for name, value in script.attributes.items() if value is not None}
    return script.filename or "", tuple(sorted(attributes.items()))


def mend_scripts(app, pagename, templatename, context, doctree):
    """Sphinx keeps inline scripts twice (the second raises); thebe is not used here."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        if not hasattr(script, "attributes"):
            kept.append(script)
            continue
        key = script_key(script)
        if key not in seen and "thebe" not in str(key).lower():
            kept.append(script)
        seen.add(key)
    context["script_files"] = kept
    context["css_files"] = [css for css in context.get("css_files", []) if "thebe" not in str(css)]


def setup(app):
    """Sphinx calls this."""
    app.connect("html-page-context", mend_scripts, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
