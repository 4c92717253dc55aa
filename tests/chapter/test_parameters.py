"""A chapter's first call: parameters checked and filled in, claims enforced or reported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import myst_nb
import nbformat
import numpy as np
import pytest

from lookahead.chapter import Chapter, begin
from lookahead.chapter.chapter import Claim
from lookahead.errors import LookaheadError
from lookahead.experiments import PROFILES, find_experiment
from lookahead.machine import PINS
from lookahead.runs import harness
from lookahead.runs.result import Result
from lookahead.runs.run import Run
from lookahead.tasks import PathStar

TASK = {"degree": 2, "path_length": 4, "num_nodes": 10}
QUICK = {**TASK, "learning_rate": 1e-3, "model": "tiny", "seeds": 1, "examples": 100, "error_rate": 0.2}


def injected(given: dict[str, Any]) -> dict[str, Any]:
    """The names of a notebook that papermill has given parameters."""
    cell = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    return {"In": ["", "repo = 'mine'", cell], "repo": "mine", **given}


def start(**given: Any) -> Chapter:
    paper = {"path_length": 5, "num_nodes": 50}
    return begin(injected(given), task="path_star", quick=QUICK, census={"learning_rate": 5e-4}, paper=paper)


def cell(experiment: str = "direction", **given: Any) -> Chapter:
    """A chapter about a cell of an experiment, with two changes and a parameter of its own."""
    fields, quick = {"objective": "teacher_forcing"}, {"steps": 240, "learning_rate": 2e-3, "seeds": 3}
    return begin(injected(given), name="c3", experiment=experiment, cell=fields, quick=quick, census={"seeds": 10})


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
        ({"profile": ["quick"]}, r"profile must be text, not \['quick'\]"),
        ({"device": 0}, "device must be text or None, not 0"),
        ({"degree": "five"}, "degree must be a whole number, not 'five'"),
        ({"degree": True}, "degree must be a whole number, not True"),
        ({"degree": 1}, "degree must be at least 2, not 1"),
        ({"path_length": 20_000}, "num_nodes must be at most 16384"),
        ({"learning_rate": "low"}, "learning_rate must be a number, not 'low'"),
        ({"learning_rate": 0}, "learning_rate must be above 0, not 0"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": None}, "seed must be a whole number, not None"),
        ({"seed": 2**64}, "seed must be at most 9007199254740992"),
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"examples": 0}, "examples must be at least 1, not 0"),
        ({"error_rate": 2.0}, "error_rate must be above 0 and at most 1, not 2.0"),
    ],
)
def test_what_it_does_not_know_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LookaheadError, match=said):
        start(**given)


def test_a_chapter_has_the_parameters_of_its_cell() -> None:
    quick, census, paper = (cell(profile=profile) for profile in PROFILES)
    assert (quick.degree, quick.path_length, quick.num_nodes, quick.model) == (2, 4, 10, "tiny")
    assert (quick.steps, quick.learning_rate, quick.seeds) == (240, 2e-3, 3)
    assert (census.steps, census.learning_rate, census.seeds) == (600, 1e-3, 10)
    assert (paper.path_length, paper.num_nodes, paper.model, paper.steps, paper.seeds) == (5, 50, "mini", 40_000, 3)
    assert (paper.optimizer, paper.learning_rate, paper.batch_size) == ("adamw", 5e-4, 256)
    assert str(cell(degree=None, path_length=6).task.title) == "G(2,6)"
    assert cell(path_length=6).num_nodes == 11


def test_a_chapter_tells_its_parameters_in_a_sentence() -> None:
    chapter = cell(degree=None, path_length=None, model=None, batch_size=None, evaluate_every=None)
    assert repr(chapter) == (
        "2 arms of 4 nodes with labels from 10, a Transformer of 3 layers, 240 training steps of 128 graphs, Muon, "
        "learning rate 0.002, 3 seeds."
    )
    assert chapter._repr_markdown_() == repr(chapter)
    other = cell(path_length=3, model="mamba2-tiny", steps=1, batch_size=1, seeds=1, seed=4)
    assert repr(other).startswith(
        "2 arms of 3 nodes with labels from 10, a Mamba-2 of 4 layers, 1 training step of 1 graph"
    )
    assert repr(other).endswith(", 1 seed, the first seed 4.")


def test_a_sentence_tells_what_it_has_no_words_for_and_leaves_out_what_is_not_there() -> None:
    sizes = {"layers": 2, "width": 64, "steps": 1400, "error_rate": 0.2, "seed": 0}
    begun = begin({"seed": 0}, quick=sizes, census={}, paper={})
    assert repr(begun) == "a network of 2 layers, 1,400 training steps, width 64, error rate 0.2."
    assert repr(begin({"seed": 0}, census={}, paper={})) == "Nothing is trained here."


def test_a_cell_takes_no_parameters_but_its_own() -> None:
    for given in ({"stpes": 3}, {"objective": "reversed"}, {"layers": 2}, {"start_from": "x"}):
        with pytest.raises(LookaheadError, match="unknown parameter"):
            cell(**given)
    with pytest.raises(LookaheadError, match="steps must be a whole number, not 'many'"):
        cell(steps="many")
    assert cell(weight_decay=0.1).weight_decay == 0.1
    with pytest.raises(LookaheadError, match="no cell of memory at profile quick has"):
        cell("memory")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are asked for; none is done."""
    runs: list[Run] = []

    def note(config: Run, **how: Any) -> Result:
        runs.append(config)
        return Result(config, [], {"autoregressive_accuracy": 0.5}, {}, "", [])

    monkeypatch.setattr(harness, "run", note)
    return runs


def test_a_chapter_runs_its_cell_with_its_parameters_and_changes_on_top(asked: list[Run]) -> None:
    direction = list(find_experiment("direction").runs("census"))
    census = cell(profile="census")
    census.run()
    census.run(objective="reversed", seed=1)
    assert [run.id for run in asked] == [direction[0].id, direction[3].id]
    task, objective = census.build(objective="reversed")
    assert (task.title, objective.name) == (direction[0].build_task().title, "reversed")
    assert len(asked) == 2
    cell(profile="quick", path_length=5, model="mini").run(steps=7)
    assert (asked[-1].steps, asked[-1].learning_rate, asked[-1].task["path_length"]) == (7, 2e-3, 5)  # type: ignore[index]
    assert (asked[-1].model["layers"], asked[-1].schedule) == (12, "cosine")  # type: ignore[index]
    cell(degree=3).run(path_length=3, question_first=True)
    wanted = {"name": "path_star", "degree": 3, "path_length": 3, "num_nodes": 10, "question_first": True}
    assert asked[-1].task == wanted
    cell(degree=3).run(task=PathStar(2, 6, 20))
    assert asked[-1].build_task() == PathStar(2, 6, 20)
    with pytest.raises(LookaheadError, match="unknown in a run: pathlength"):
        cell().run(pathlength=3)


def test_a_model_that_is_no_preset_is_kept(asked: list[Run]) -> None:
    begin({}, experiment="memory", cell={"state": 2}).run()
    assert asked[-1].id == find_experiment("memory").cell("quick", {"state": 2}).id


def test_a_chapter_without_an_experiment_runs_at_its_profile(asked: list[Run]) -> None:
    start(profile="census").run(objective="reversed")
    assert (asked[-1].batch_size, asked[-1].task["path_length"], asked[-1].learning_rate) == (128, 4, 5e-4)  # type: ignore[index]
    with pytest.raises(LookaheadError, match="a run needs a task: name the chapter's experiment or task in begin"):
        begin({}, quick={"steps": 3}).run()


def test_several_seeds_begin_with_the_chapters(asked: list[Run]) -> None:
    seeds = cell(seed=4).run_seeds()
    assert (seeds.seeds, [run.steps for run in asked]) == ([4, 5, 6], [240] * 3)
    assert len(cell().run_seeds(2, objective="reversed")) == 2
    assert asked[-1].objective["name"] == "reversed"  # type: ignore[index]


def test_glued_numbers_have_the_chapters_name(monkeypatch: pytest.MonkeyPatch) -> None:
    glued: dict[str, float] = {}
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: glued.update({name: value}))
    cell().glue(degree=2, live_accuracy=np.float64(0.5), **{"left-mamba": True})
    assert glued == {"c3-degree": 2.0, "c3-live-accuracy": 0.5, "c3-left-mamba": 1.0}
    with pytest.raises(LookaheadError, match="name the chapter in begin, such as name='c3': degree need it"):
        start().glue(degree=2)


def test_a_second_call_in_a_live_notebook_takes_no_results_for_parameters() -> None:
    namespace: dict[str, Any] = {}
    begin(namespace, quick=QUICK, census={}, paper={})
    namespace["accuracy"] = 0.5
    assert begin(namespace, quick=QUICK, census={}, paper={}).degree == 2


CALL = "from lookahead.chapter import begin\nbegin(globals(), quick={'degree': 2}, census={}, paper={}).degree"


def write_notebook(path: Path, *above: str, parameters: str = "profile = 'quick'\ndegree = None") -> None:
    """A chapter with cells of one's own above its parameters."""
    cells = [nbformat.v4.new_code_cell(source) for source in (*above, parameters, CALL)]
    cells[-2].metadata["tags"] = ["parameters", "hide-input"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def papermill(folder: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", *parameters]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_papermill_cannot_pass_an_unknown_parameter(tmp_path: Path) -> None:
    """Cells of one's own above the parameters may set what they want."""
    write_notebook(tmp_path / "in.ipynb", 'repo = "mine"', "for i in range(3): pass", "!true", "%env COLAB=1\nx = {}")
    refused = papermill(tmp_path, "-p", "degre", "5")
    assert refused.returncode != 0
    assert "unknown parameter 'degre'; this chapter takes profile, seed, device, degree" in refused.stderr
    done = papermill(tmp_path, "-p", "degree", "5")
    assert done.returncode == 0, done.stderr
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs[0].data["text/plain"] == "5"


def test_a_parameters_cell_edited_by_hand_is_judged_too() -> None:
    cell = "profile = 'quick'\nseed = 0\ndegre = 5  # of the graph"
    with pytest.raises(LookaheadError, match="unknown parameter 'degre'"):
        begin({"In": ["", cell], "profile": "quick", "seed": 0, "degre": 5}, quick=QUICK, census={}, paper={})


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


def test_a_claim_is_a_badge_on_the_page() -> None:
    badges = {
        (True, True): '<span class="claim checked">checked</span>',
        (True, False): '<span class="claim checked">holds</span>',
        (False, False): '<span class="claim not-checked">does not hold</span>',
    }
    for (holds, default), badge in badges.items():
        assert Claim("at $l = 4$", holds, default)._repr_markdown_() == f"{badge} at $l = 4$"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_prose_gets_finite_numbers_only(value: float) -> None:
    with pytest.raises(LookaheadError, match="needs a finite number"):
        cell().glue(share=value)


def test_a_quick_chapter_is_pinned_before_torch_is_loaded() -> None:
    code = (
        "from lookahead.chapter import begin; begin({}, quick={}, census={}, paper={}); import torch; "
        "print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["1", "AVX2"]
    assert PINS["OMP_NUM_THREADS"] == "1"
