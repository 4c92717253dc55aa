"""Imports point one way, and the first import loads no torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lookahead
from lookahead.contracts import Model, Objective, Task
from lookahead.runs.staleness import _with_imports

LIBRARY = Path(lookahead.__file__).parent
MODULES = {
    ".".join(("lookahead", *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(LIBRARY.rglob("*.py"))
}

BASE = {"contracts", "registry", "kinds", "random", "errors", "files", "machine", "stack", "hub"}
MAY_IMPORT = {
    "errors": set(),
    "random": set(),
    "files": {"errors"},
    "hub": {"errors"},
    "machine": {"errors"},
    "tables": set(),
    "names": set(),
    "kinds": {"errors"},
    "registry": {"errors", "kinds"},
    "contracts": {"random", "errors", "registry", "kinds"},
    "stack": {"contracts", "errors"},
    "tasks": BASE,
    "models": BASE,
    "objectives": BASE,
    "training": BASE,
    "evaluation": BASE,
    "runs": {*BASE, "tables", "tasks", "models", "objectives", "training", "evaluation"},
    "experiments": {*BASE, "tables", "tasks", "runs", "training", "evaluation"},
    "figures": {*BASE, "names", "tasks", "evaluation", "runs", "experiments", "auditing"},
    "chapter": {*BASE, "names", "tables", "runs", "experiments"},
    "auditing": {*BASE, "tables", "tasks", "models", "objectives", "training", "evaluation", "runs"},
    "cli": {"errors", "experiments", "figures", "machine", "models", "tables", "runs", "auditing", "files", "tasks"},
}
"""Which rooms a room may import, beside itself."""


def room(module: str) -> str:
    """The part of the library that a module lies in; `lookahead` itself for the front door."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(path: Path) -> set[str]:
    """Modules of the library that a module imports anywhere, but for the front door's type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it points"
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{item.name}" for item in node.names if f"{node.module}.{item.name}" in MODULES}
    return {name for name in found if name.split(".")[0] == "lookahead"}


def test_the_library_was_found() -> None:
    assert {room(name) for name in MODULES} >= {*MAY_IMPORT, "lookahead"}
    assert imports(MODULES["lookahead.runs.staleness"]) >= {"lookahead.runs.run", "lookahead.contracts"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    own = room(module)
    used = {room(name) for name in imports(MODULES[module])} - {own}
    allowed = MAY_IMPORT.get(own, set()) if own != "lookahead" else set()
    assert used <= allowed, f"{module} must not import {', '.join(sorted(used - allowed))}"


def test_a_new_room_states_what_it_may_import() -> None:
    assert {room(name) for name in MODULES} - {"lookahead"} == set(MAY_IMPORT)


def test_importing_the_library_loads_no_torch() -> None:
    """A chapter chooses instruction set and threads before torch is loaded."""
    code = (
        "import sys, lookahead, lookahead.cli, lookahead.errors; lookahead.LookaheadError; "
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'pyarrow'} & set(sys.modules); assert not heavy, heavy; "
        "lookahead.PathStar; assert 'torch' in sys.modules; "
        "import lookahead.models.mamba; assert 'torch._dynamo' not in sys.modules, 'the compiler takes a second'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["tasks", "models", "objectives"])
def test_a_package_finds_what_it_holds(package: str) -> None:
    """All its modules are imported, and its registered classes are reached through it."""
    room = importlib.import_module(f"lookahead.{package}")
    for name in MODULES:
        if name.startswith(f"lookahead.{package}.") and name.count(".") == 2:
            assert name in sys.modules
    base = {"tasks": Task, "models": Model, "objectives": Objective}[package]
    held = [kind for kind in base.known.values() if kind.__module__.startswith("lookahead.")]
    assert held
    for kind in held:
        assert getattr(room, kind.__name__) is kind
    with pytest.raises(AttributeError, match=f"module 'lookahead.{package}' has no attribute 'Nothing'"):
        _ = room.Nothing


def test_a_new_file_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a folder in a package that imports all it holds."""
    package = tmp_path / "some_models"
    (package / "second").mkdir(parents=True)
    head = "from lookahead.contracts import Model\nfrom lookahead.registry import import_all"
    (package / "__init__.py").write_text(f"{head}\nimport_all(__name__, __path__)\n")
    (package / "first.py").write_text(f"{head}\nclass First(Model, name='first'): pass\n")
    (package / "second" / "__init__.py").write_text(f"{head}\nclass Second(Model, name='second'): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Model, "known", dict(Model.known))
    importlib.import_module("some_models")
    assert Model.named("first").__module__ == "some_models.first"
    assert Model.class_in("some_models", "Second") is Model.named("second")


def test_a_run_depends_on_its_own_objective_and_model_alone() -> None:
    """A package that imports all it holds does not make every stored result stale when one file in it changes."""
    for module in ("lookahead.objectives.reversed", "lookahead.models.transformer", "lookahead.training.loop"):
        read = _with_imports(frozenset({module}))
        others = {"lookahead.objectives.hints", "lookahead.objectives.teacherless", "lookahead.models.mamba"}
        assert module in read
        assert not read & others


def test_the_public_names_are_there() -> None:
    for name in lookahead.__all__:
        assert getattr(lookahead, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'lookahead' has no attribute 'nothing'"):
        _ = lookahead.nothing


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_nothing_shadows_a_module(module: str) -> None:
    """`import a.b as x` gives the module b, not something of its name that a imports from it."""
    package, _, name = module.rpartition(".")
    imported = importlib.import_module(module)
    assert getattr(importlib.import_module(package), name) is imported
