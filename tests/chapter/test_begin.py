"""A chapter's first call: parameters checked and filled in, claims enforced or reported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lookahead.chapter import Chapter, begin
from lookahead.errors import LookaheadError
from lookahead.machine import PINS

QUICK = {"degree": 2, "path_length": 4, "num_nodes": 10, "learning_rate": 1e-3, "model": "tiny"}


def start(**given: Any) -> Chapter:
    return begin({**given}, quick=QUICK, census={"learning_rate": 5e-4}, paper={"path_length": 5, "num_nodes": 50})


def test_the_profile_fills_in_what_is_not_given() -> None:
    quick, paper = start(), start(profile="paper")
    assert (quick.degree, quick.path_length, quick.num_nodes, quick.device) == (2, 4, 10, "cpu")
    assert (paper.path_length, paper.num_nodes, paper.learning_rate, paper.device) == (5, 50, 1e-3, "auto")
    assert start(profile="census").learning_rate == 5e-4


def test_an_explicit_value_wins() -> None:
    assert start(profile="paper", path_length=3).path_length == 3
    assert start(learning_rate=1).learning_rate == 1
    assert start(device="cuda").device == "cuda"


@pytest.mark.parametrize(
    ("given", "labels"), [({"degree": 5, "path_length": 3}, 11), ({"degree": 5}, 16), ({"degree": 3}, 10)]
)
def test_the_labels_grow_to_what_the_graph_needs(given: dict[str, int], labels: int) -> None:
    assert start(**given).num_nodes == labels
    assert start(**given, num_nodes=40).num_nodes == 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"degre": 5}, "unknown parameter 'degre'; this chapter takes profile, seed, device, degree"),
        ({"profile": "fast"}, "unknown profile 'fast'; known: quick, census, paper"),
        ({"degree": "five"}, "degree is int, such as 2; not 'five'"),
        ({"degree": True}, "degree is int"),
        ({"learning_rate": "low"}, "learning_rate is float"),
        ({"seed": 1.5}, "seed is int"),
    ],
)
def test_what_it_does_not_know_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LookaheadError, match=said):
        start(**given)


def test_a_second_call_in_a_live_notebook_takes_no_results_for_parameters() -> None:
    namespace: dict[str, Any] = {}
    begin(namespace, quick=QUICK, census={}, paper={})
    namespace["accuracy"] = 0.5
    assert begin(namespace, quick=QUICK, census={}, paper={}).degree == 2


def test_papermill_cannot_pass_an_unknown_parameter(tmp_path: Path) -> None:
    first = nbformat.v4.new_code_cell("degree = None", metadata={"tags": ["parameters"]})
    call = "from lookahead.chapter import begin\nbegin(globals(), quick={'degree': 2}, census={}, paper={}).degree"
    notebook = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(call)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")

    def papermill(*parameters: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", *parameters]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    refused = papermill("-p", "degre", "5")
    assert refused.returncode != 0
    assert "unknown parameter 'degre'; this chapter takes profile, seed, device, degree" in refused.stderr
    assert papermill("-p", "degree", "5").returncode == 0
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs[0].data["text/plain"] == "5"


def test_a_claim_is_enforced_at_the_defaults_and_reported_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    start().claim("all is well", True)
    with pytest.raises(AssertionError, match="the chapter claims: all is ill"):
        start().claim("all is ill", False)
    for other in (start(seed=1), start(degree=3), start(profile="census")):
        other.claim("all is ill", False)
    start(degree=2).claim("a default given by hand is the default", True)
    with pytest.raises(AssertionError):
        start(degree=2).claim("and enforced", False)
    assert capsys.readouterr().out.splitlines()[:2] == ["holds: all is well", "does not hold: all is ill"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_prose_gets_finite_numbers_only(value: float) -> None:
    with pytest.raises(LookaheadError, match="needs a finite number"):
        start().glue("share", value)


def test_a_quick_chapter_is_pinned_before_torch_is_loaded() -> None:
    code = (
        "from lookahead.chapter import begin; begin({}, quick={}, census={}, paper={}); import torch; "
        "print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["1", "AVX2"]
    assert PINS["OMP_NUM_THREADS"] == "1"
