"""A wheel, installed where there is no checkout, does what the checkout does: commands, own experiments, chapters."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import MODEL, TASK

from bookmaker.launching import CODE

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "lib" / "lookahead"
COMMITTED = [file for pattern in ("*-census.parquet", "*.json") for file in (ROOT / "results").glob(pattern)]
OWN = f"""
from lookahead.experiments import Experiment

SMALL = {{"task": {TASK}, "model": {MODEL}, "steps": 3, "batch_size": 8, "evaluate_every": 3}}
EXPERIMENTS = {{"mine": Experiment("mine", "?", cells=[{{"objective": "reversed", **SMALL}}], seeds={{"quick": 1}})}}
"""
TRAIN = f"""
import lookahead
from lookahead.machine import commit

task, model = {TASK}, {MODEL}
result = lookahead.run(task=task, model=model, objective="teacherless", steps=3, batch_size=8, evaluate_every=3)
print(lookahead.__file__, *commit(), result.manifest["commit"], len(lookahead.stored("hints")), sep="|")
"""


class Installed:
    """An environment with nothing of the project but the wheel, in a home and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "environment" / "bin"
        self.store = folder / "home" / ".local" / "share" / "lookahead"
        self.wheel = self._build()
        self._make()

    def call(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment."""
        aside = ("LOOKAHEAD", "PYTHONPATH")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(aside)}
        mine = {"HOME": str(self.folder / "home"), **environment}
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.folder,
            env={**inherited, **mine},
            capture_output=True,
            text=True,
            check=False,
        )

    def _build(self) -> Path:
        """The wheel of a copy, since a build leaves files where it builds."""
        source, built = self.folder / "source", self.folder / "wheels"
        strays = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "lib", source / "lib", symlinks=True, ignore=strays)
        (source / "results").mkdir()
        for file in COMMITTED:
            shutil.copy(file, source / "results")
        (source / "results" / "mine-quick.parquet").write_text("not committed")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        _pip("wheel", "--no-build-isolation", "--wheel-dir", str(built), str(source))
        shutil.rmtree(source)
        (wheel,) = built.glob("*.whl")
        return wheel

    def _make(self) -> None:
        """Nothing is installed yet; all else is seen in this environment, whose own .pth files do not count."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.bin.parent)], check=True)
        python = str(self.bin / "python")
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        seen = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        Path(site, "rest.pth").write_text("\n".join(seen))

    def install(self) -> None:
        """The wheel."""
        _pip("--python", str(self.bin / "python"), "install", "--no-index", str(self.wheel))


def _pip(*arguments: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "pip", *arguments, "--no-deps", "--quiet"]
    subprocess.run(command, env=clean, check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With the wheel in it."""
    made = Installed(tmp_path_factory.mktemp("wheel"))
    made.install()
    return made


def test_the_first_cell_of_a_chapter_installs_the_library_where_it_is_missing(tmp_path: Path) -> None:
    """Once, with what chapters need; and does nothing where it is there."""
    bare = Installed(tmp_path)
    cell = CODE.format(source=bare.wheel.as_uri())
    asked = "import lookahead.chapter; print(lookahead.__file__)"
    assert bare.call("python", "-c", asked).returncode != 0
    begun = bare.call("python", "-c", f"{cell}\nimportlib.invalidate_caches()\n{asked}", PIP_NO_INDEX="1")
    assert begun.returncode == 0, begun.stderr
    assert str(bare.bin.parent) in begun.stdout
    bare.wheel.unlink()
    assert bare.call("python", "-c", f"{cell}\n{asked}").returncode == 0


def test_it_holds_the_library_and_what_is_committed(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    held = {name for name in names if not name.startswith("lookahead-0.1.0.dist-info/")}
    code = {f"lookahead/{file.relative_to(LIBRARY)}" for file in LIBRARY.rglob("*.py")}
    data = {"lookahead/chapter/published.json", "lookahead/tasks/chess_mate/positions.parquet"}
    assert held == code | data | {f"lookahead/results/{file.name}" for file in COMMITTED}


def test_commands_and_own_experiments(installed: Installed) -> None:
    listed = installed.call("lookahead", "list")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith("direction ")
    own = installed.folder / "own.py"
    own.write_text(OWN)
    done = installed.call("lookahead", "run", "mine", "--device", "cpu", LOOKAHEAD_EXPERIMENTS=str(own))
    assert done.returncode == 0, done.stderr
    assert (installed.store / "mine-quick.parquet").exists()


def test_a_training_and_what_is_stored(installed: Installed) -> None:
    done = installed.call("python", "-c", TRAIN)
    assert done.returncode == 0, done.stderr
    where, *commits, stored = done.stdout.strip().split("|")
    assert str(installed.bin.parent) in where
    assert commits == ["None"] * 3
    assert int(stored) > 0


def test_chapter_3(installed: Installed) -> None:
    """At a size that takes seconds, where claims do not hold, and are reported."""
    shutil.copy(ROOT / "chapters" / "03-clever-hans.ipynb", installed.folder)
    sizes = ["steps", "8", "seeds", "1", "evaluate_every", "4", "batch_size", "16"]
    parameters = [word for pair in zip(sizes[::2], sizes[1::2], strict=True) for word in ("-p", *pair)]
    done = installed.call(
        "python", "-m", "papermill", "--no-progress-bar", "03-clever-hans.ipynb", "out.ipynb", *parameters
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(installed.store.glob("runs/*/result.json"))) == 3
    assert "GPT2-Large" in json.dumps(json.loads((installed.folder / "out.ipynb").read_text()))
