"""What all tests share: one thread, a store of their own, tiny objectives."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; for the processes that tests start, too

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.runs import examples, harness
from lookahead.runs import result as results
from lookahead.runs.run import Run
from lookahead.training import Member

torch.set_num_threads(1)

TASK = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 10}
MODEL = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of results for one test, nothing beside it, silence, and few test examples."""
    folder = tmp_path / "store"
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(results, "committed_folder", lambda: None)
    monkeypatch.setenv("LOOKAHEAD_PROGRESS", "")
    monkeypatch.setattr(examples, "TEST_EXAMPLES", 128)
    return folder


@pytest.fixture
def tiny_run() -> Callable[..., Run]:
    """Makes a run that takes well under a second, with the fields that are given."""

    def make(**fields: Any) -> Run:
        fields = {"steps": 6, "batch_size": 8, "evaluate_every": 3, "warmup": 2, **fields}
        return Run(**{"task": TASK, "model": MODEL, **fields})

    return make


@pytest.fixture
def build(tiny_run: Callable[..., Run]) -> Callable[..., tuple[Task, Objective]]:
    """Makes a tiny task and objective, in float64, so that tolerances can be tight."""

    def make(objective: Any = "teacher_forcing", **fields: Any) -> tuple[Task, Objective]:
        task, built = tiny_run(objective=objective, **fields).build()
        return task, built.double()

    return make


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that are really trained, as they are."""
    ids: list[str] = []
    train = harness.train

    def counted(members: list[Member], *rest: Any, **more: Any) -> Any:
        ids.extend(member.settings.id for member in members)  # type: ignore[attr-defined]
        return train(members, *rest, **more)

    monkeypatch.setattr(harness, "train", counted)
    return ids


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The built site's."""
    from browsing import PAGES, SITE, served

    if not PAGES:
        pytest.fail(f"there is no site in {SITE}: build it with make test-site", pytrace=False)
    with served(SITE) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of a process."""
    from playwright.sync_api import sync_playwright

    from browsing import find_browser

    path = find_browser()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield launched
        launched.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU say so where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a GPU: run `pytest -m gpu` on a machine that has one"))
