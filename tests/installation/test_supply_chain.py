"""What CI and `make` take from others: actions and packages of a known content, with no more rights than they need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
MAY_WRITE = {("site.yml", "publish"): {"pages", "id-token"}}
"""Jobs that may change something, and what; of all others each may only read the code."""


def jobs(workflow: Path) -> dict[str, Any]:
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash(workflow: Path) -> None:
    """A tag can be moved; the comment says which release the hash is."""
    uses = re.findall(r"uses: *(.*)", workflow.read_text(encoding="utf-8"))
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_the_rights_that_it_needs(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"] == {}
    for name, job in jobs(workflow).items():
        writes = {right for right, how in job["permissions"].items() if how != "read"}
        assert writes == MAY_WRITE.get((workflow.name, name), set())
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def pinned(file: str) -> set[str]:
    """What a file of requirements pins: name==version."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pins = (re.match(r"([\w.-]+)(?:\[\w+\])?==([\w.]+)", line) for line in lines)
    return {f"{pin[1].lower()}=={pin[2]}" for pin in pins if pin}


@pytest.mark.parametrize("name", ["requirements", "requirements-cluster"])
def test_the_lock_holds_what_is_pinned_with_hashes(name: str) -> None:
    """All but torch, whose build is a choice. `make lock` writes it."""
    locked = pinned(f"{name}.lock")
    assert {pin for pin in pinned(f"{name}.txt") if not pin.startswith("torch==")} <= locked
    for entry in re.split(r"\n(?=\S)", (ROOT / f"{name}.lock").read_text(encoding="utf-8")):
        assert re.search(r"\n    --hash=sha256:[0-9a-f]{64}", entry), entry
    assert not {pin for pin in locked if re.match("torch=|triton|nvidia-|cuda-", pin)}
