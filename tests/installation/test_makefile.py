"""The Makefile's environment: kept as long as it works, made anew when it does not."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile and an environment that looks installed."""
    root = tmp_path / "a project"
    for folder in ("lib", ".venv/bin"):
        (root / folder).mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    python, pip = root / ".venv/bin/python", root / ".venv/bin/pip"
    python.symlink_to(sys.executable)
    pip.write_text(f"#!/bin/sh\nexec '{python}' --version\n")  # as pip writes it where the path has a blank
    pip.chmod(0o755)
    (root / ".venv/installed").touch()
    return root


def planned(root: Path) -> str:
    """What make would do for the environment."""
    command = ["make", "--no-print-directory", "-n", ".venv/installed"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def no_python(root: Path) -> Path:
    (root / ".venv/bin/python").unlink()
    (root / ".venv/bin/python").symlink_to(root / "gone")
    return root


def moved(root: Path) -> Path:
    return root.rename(root.with_name("elsewhere"))


def no_pip(root: Path) -> Path:
    (root / ".venv/bin/pip").unlink()
    return root


@pytest.mark.parametrize("keep", [lambda root: root, no_pip])
def test_a_sound_environment_is_kept(keep: Callable[[Path], Path], project: Path) -> None:
    assert "up to date" in planned(keep(project))


@pytest.mark.parametrize("breaks", [no_python, moved])
def test_a_broken_environment_is_made_anew(breaks: Callable[[Path], Path], project: Path) -> None:
    lines = planned(breaks(project)).splitlines()
    assert lines[0] == "rm -rf .venv"
    assert "python3 -m venv .venv" in lines


def test_changed_requirements_are_installed_into_what_is_there(project: Path) -> None:
    (project / ".venv/installed").unlink()
    lines = planned(project).splitlines()
    assert "rm -rf .venv" not in lines
    assert any("-r requirements.txt" in line for line in lines)
