"""Where a number comes from: the library's own commit, never that of a repository around it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lookahead

FILES = ("__init__.py", "errors.py", "machine.py")
"""All of the library that telling the commit takes."""


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=True).stdout.strip()


def committed(folder: Path) -> str:
    """A repository of all that a folder holds: its commit."""
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


def library(folder: Path, name: str | None = None) -> Path:
    """The library in a folder, as in a checkout of the project of that name where there is one."""
    (folder / "lookahead").mkdir(parents=True)
    for file in FILES:
        shutil.copy(Path(lookahead.__file__).parent / file, folder / "lookahead")
    if name is not None:
        (folder.parent / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    return folder


def told(library: Path, **environment: str) -> str:
    """What a process tells of its commit that has the library there."""
    code = "from lookahead.machine import commit; print(*commit())"
    env = {**os.environ, "PYTHONPATH": str(library), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=library, env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("lib", 'theirs"\n[[tool.x]]\nname = "lookahead'),
        (".venv/lib/python3.11/site-packages", None),  # an environment in somebody's project
        ("lib", "theirs"),  # pip install --target lib
        ("lookahead-0.1.0/lib", "lookahead"),  # an archive of ours, unpacked there
    ],
)
def test_a_repository_around_it_is_not_the_librarys(folder: str, name: str | None, tmp_path: Path) -> None:
    theirs = committed(tmp_path)
    mine = library(tmp_path / folder, name)
    assert told(mine) == "None None"
    assert committed(tmp_path) != theirs
    assert told(mine) == "None None", "nor when they commit it"


def test_a_checkout_tells_its_commit_and_whether_the_library_differs(tmp_path: Path) -> None:
    mine = library(tmp_path / "ours" / "lib", "lookahead")
    made_by = committed(tmp_path / "ours")
    (tmp_path / "ours" / "notes.txt").write_text("not the library")
    other = tmp_path / "other"
    other.mkdir()
    assert committed(other) != made_by
    assert told(mine, GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other)) == f"{made_by} False", "as in a git hook"
    (mine / "lookahead" / "new.py").write_text("")
    assert told(mine) == f"{made_by} True"
