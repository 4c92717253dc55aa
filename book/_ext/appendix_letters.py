"""Appendices have letters where chapters have numbers: A. Mamba from one line, Fig. A.1."""

from string import ascii_uppercase

from docutils import nodes


def appendices(env):
    """The chapters that the table of contents does not number, each with its letter."""
    pages = env.toctree_includes.get(env.config.root_doc, [])
    unnumbered = [page for page in pages if page.startswith("chapters/") and not numbered(env, page)]
    return dict(zip(unnumbered, ascii_uppercase, strict=False))


def numbered(env, page):
    """Whether the table of contents gives it a number."""
    return any(isinstance(number, int) for number in env.toc_secnumbers.get(page, {}).get("") or ())


def give_letters(app, env):
    """Once Sphinx has numbered sections and figures through all pages."""
    for page, letter in appendices(env).items():
        links = list(env.tocs[page].findall(nodes.reference))
        # A section without an entry would get the page's.
        env.toc_secnumbers[page] = {link["anchorname"]: None for link in links} | {"": (letter,)}
        for link in links:
            if not link["anchorname"]:
                link["secnumber"] = (letter,)
        for figures in env.toc_fignumbers.get(page, {}).values():
            for count, name in enumerate(figures, start=1):
                figures[name] = (letter, count)
    return []


def setup(app):
    """Sphinx calls this."""
    app.connect("env-get-updated", give_letters, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
