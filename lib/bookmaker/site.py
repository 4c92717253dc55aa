"""The site: what it is made of is copied to an empty folder and built there, with every warning an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bookmaker.about import about
from bookmaker.execution import current, digest, executed_copy, say
from bookmaker.measured import fill
from bookmaker.notebooks import finished, listed
from bookmaker.status import MARK, tables
from bookmaker.takeaway import lay_out
from lookahead.errors import LookaheadError
from lookahead.files import read_cache, write_text


def stage(root: Path, source: Path, committed: bool) -> None:
    """Copies what the site is made of, and nothing else, to an empty folder."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "chapters").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, source)
    if (root / "LICENSE").is_file():
        shutil.copy(root / "LICENSE", source)
    (source / "about.json").write_text(json.dumps(about(root)), encoding="utf-8")
    if (root / "book").is_dir():
        shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for chapter in listed(root):
        target = source / "chapters" / chapter.name
        if committed:
            shutil.copy(chapter, target)
        elif current(root, chapter):
            target.write_text(finished(chapter, executed_copy(root, chapter)), encoding="utf-8")
        else:
            raise LookaheadError(f"{chapter.stem} is not executed, or not since it or the library changed")
    lay_out(root, source)
    for page in (source / "book").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if (filled := fill(root, text)) != text:
            page.write_text(filled, encoding="utf-8")
    status = source / "book" / "status.md"
    if status.is_file():
        text = status.read_text(encoding="utf-8")
        if MARK not in text:
            raise LookaheadError(f"book/status.md lacks the line {MARK!r}, where its tables go")
        status.write_text(text.replace(MARK, tables(root, source / "chapters")), encoding="utf-8")


def site(root: Path, output: Path, committed: bool = False) -> Path:
    """Builds the site into `output`/html; every warning is an error. The first page is returned.

    Raises:
        LookaheadError: there was a warning.
    """
    source, html, work, stamp = (output / name for name in ("source", "html", "work", "stamp"))
    stage(root, source, committed)
    versions = [file for file in [root / "requirements.txt"] if file.is_file()]
    state = digest(source, (file for file in source.rglob("*") if file.is_file())) + digest(root, versions)
    page = html / "index.html"
    if page.is_file() and read_cache(stamp) == state:
        return page
    for old in (html, work):
        shutil.rmtree(old, ignore_errors=True)
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    options = ["build", source.resolve(), "--path-output", work.resolve(), "-n", "-W", "--keep-going"]
    say("building the site ...")
    built = subprocess.run(
        [sys.executable, "-c", command, *map(str, options)],
        cwd=source,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    log = output / "build.log"
    write_text(log, re.sub(r"\x1b\[[0-9;]*m", "", built.stdout))
    made = work / "_build" / "html"
    if built.returncode != 0 or not (made / "index.html").is_file():
        lines = log.read_text(encoding="utf-8").splitlines()
        problems = [line for line in lines if re.search("WARNING|ERROR|Error|CRITICAL", line)] or lines[-20:]
        message = "\n  ".join(line.replace(f"{source.resolve()}/", "") for line in problems)
        raise LookaheadError(f"the site was not built; {log} says all\n  {message}")
    made.replace(html)
    shutil.rmtree(work)
    # This first page only leads to the book's; without an icon the browser asks for one that is not there.
    page.write_text(
        '<!doctype html>\n<link rel="icon" href="data:,">\n' + page.read_text(encoding="utf-8"), encoding="utf-8"
    )
    write_text(stamp, state)
    return page
