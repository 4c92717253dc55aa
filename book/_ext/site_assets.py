"""What the site loads: each script once, no thebe, no icon font, of the themes' styles what some page can use."""

import re
import shutil
from pathlib import Path

import tinycss2

UNUSED = ("vendor", "locales", "sbt-webpack-macros.html", "webpack-macros.html")
"""What the themes lay into _static and no page of this book asks for; maps of their sources, too."""

NEGATED = re.compile(r":not\((?:[^()]|\([^()]*\))*\)")
"""A class that a selector excludes need not occur."""


def script_key(script):
    attributes = {name: value for name, value in script.attributes.items() if value is not None}
    return script.filename or "", tuple(sorted(attributes.items()))


NEEDED_BY = {
    "thebe": "thebe-",
    "sphinx-design": "sd-",
    "design-tabs": "sd-tab",
    "mystnb": 'class="cell',
    "play.": 'id="play"',
    "moving.": 'class="moving"',
}
"""Part of an asset's name, and what a page holds that needs it."""
MADE_BY_SCRIPTS = ("bs-", "play-", "moving-")
"""Beginnings of classes that scripts put together."""


def wanted(asset, body):
    """Whether a page needs a style or a script."""
    name = str(getattr(asset, "filename", asset) or "") + str(getattr(asset, "attributes", ""))
    return all(mark in body for part, mark in NEEDED_BY.items() if part in name)


def mend_assets(app, pagename, templatename, context, doctree):
    """Sphinx keeps inline scripts twice (the second raises)."""
    body, seen, kept = context.get("body", ""), set(), []
    for script in context.get("script_files", []):
        key = script_key(script) if hasattr(script, "attributes") else script
        if key not in seen and wanted(script, body):
            kept.append(script)
        seen.add(key)
    context["script_files"] = kept
    context["css_files"] = [css for css in context.get("css_files", []) if wanted(css, body)]


def drop_unused(app, error):
    """Leaves out what no page loads, and the styles of classes that no page and no script names."""
    if error is None and app.builder.format == "html":
        out = Path(app.outdir)
        for path in [*(out / "_static" / name for name in UNUSED), *out.glob("_static/**/*.map")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        pages = [*out.rglob("*.html"), *out.glob("_static/**/*.js")]
        names = {name for page in pages for name in re.findall(r"[\w-]+", page.read_text(encoding="utf-8"))}
        for style in out.glob("_static/**/*.css"):
            rules = tinycss2.parse_stylesheet(style.read_text(encoding="utf-8"), skip_comments=True)
            style.write_text(tinycss2.serialize(used(rules, names)), encoding="utf-8")


def used(rules, names):
    """The rules that can apply where only these classes occur."""
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = NEGATED.sub("", tinycss2.serialize(rule.prelude))
            if not any(applies(selector, names) for selector in selectors.split(",")):
                continue
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True)
            rule.content = tinycss2.parse_component_value_list(tinycss2.serialize(used(inner, names)))
        yield rule


def applies(selector, names):
    classes = re.findall(r"\.(-?[a-zA-Z_][\w-]*)", selector)
    return all(name in names or name.startswith(MADE_BY_SCRIPTS) for name in classes)


def setup(app):
    """Sphinx calls this."""
    app.connect("html-page-context", mend_assets, priority=900)
    app.connect("build-finished", drop_unused, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
