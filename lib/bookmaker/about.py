"""What the pages say of the book as a whole: who wrote it, which version, under which licence, how to cite it."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Any

import yaml

from lookahead.chapter.source import repository
from lookahead.errors import LookaheadError

CITATION = "CITATION.cff"


def about(root: Path) -> dict[str, str]:
    """Title, authors, version, licence, date, repository and BibTeX entry, as far as the book's files say them.

    All but two are those of CITATION.cff. The repository's address stands in pyproject.toml, as `Repository` in
    `[project.urls]`. The date is that of the release, if CITATION.cff names one, or of the last commit.

    Raises:
        LookaheadError: CITATION.cff lacks what a citation needs, or pyproject.toml cannot be read.
    """
    if not (root / CITATION).is_file():
        return {}
    said = yaml.safe_load((root / CITATION).read_text(encoding="utf-8"))
    if missing := [name for name in ("title", "authors", "version", "license") if not (said or {}).get(name)]:
        raise LookaheadError(f"{CITATION} does not say: {', '.join(missing)}")
    day, address = str(said.get("date-released") or committed(root)), repository(root)
    facts = {
        "title": said["title"],
        "authors": " and ".join(name(author) for author in said["authors"]),
        "version": str(said["version"]),
        "licence": said["license"],
        "date": in_words(day),
        "repository": address,
        "bibtex": bibtex(said, day[:4], address),
    }
    return {key: value for key, value in facts.items() if value}


def name(author: dict[str, Any]) -> str:
    """An author of CITATION.cff, a person or a group."""
    return author.get("name") or f"{author['given-names']} {author['family-names']}"


def committed(root: Path) -> str:
    """The day of the last commit; empty outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "log", "-1", "--format=%cs"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def in_words(day: str) -> str:
    """25 November 2026, from 2026-11-25."""
    return f"{(found := datetime.date.fromisoformat(day)).day} {found:%B %Y}" if day else ""


def bibtex(said: dict[str, Any], year: str, address: str) -> str:
    """An entry that every BibTeX understands. A group's name stands in braces, so that it is not taken apart."""
    authors = [
        f"{{{author['name']}}}" if "name" in author else f"{author['family-names']}, {author['given-names']}"
        for author in said["authors"]
    ]
    fields = {
        "title": f"{{{said['title']}}}",
        "author": " and ".join(authors),
        "year": year,
        "note": f"Version {said['version']}",
        "howpublished": f"\\url{{{address}}}" if address else "",
    }
    key = "".join(letter for letter in said["title"].lower() if letter.isalnum())
    lines = [f"  {field:<12} = {{{value}}}" for field, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", ",\n".join(lines), "}"])
