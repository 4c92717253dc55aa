"""The networks that answer in the page are those of the stored runs, and the still picture is drawn from them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import lookahead
from export_page_models import EXPERIMENT, PROFILE, about, edge_shares, exported, measured, method_of, runs, still
from lookahead.runs.parquet import read_packed
from lookahead.training.checkpoints import state_tensors

STATIC = Path(__file__).parents[2] / "book" / "static"
INDEX: dict[str, Any] = json.loads((STATIC / "models" / "index.json").read_text(encoding="utf-8"))
GRAPHS: list[dict[str, Any]] = INDEX["graphs"]
CHECKPOINTS = [(model["method"], one) for graph in GRAPHS for model in graph["models"] for one in model["checkpoints"]]
ENDS = [{model["method"]: model["checkpoints"][-1] for model in graph["models"]} for graph in GRAPHS]
LAST = ENDS[0]
AGAIN = "make them again: make page-models"


def test_every_network_is_that_of_a_stored_run() -> None:
    results = {result.run.id: result for result in read_packed(f"{EXPERIMENT}-{PROFILE}")}
    assert [(method, one["run"]) for method, one in CHECKPOINTS] == [(method_of(run), run.id) for run in runs()], AGAIN
    assert [one["steps"] for _, one in CHECKPOINTS] == [results[run.id].manifest["steps"] for run in runs()], AGAIN
    tasks = list(dict.fromkeys(run.build_task() for run in runs()))
    assert [graph["task"] for graph in GRAPHS] == [about(task) for task in tasks], AGAIN  # type: ignore[arg-type]


def test_every_file_is_whole_and_small() -> None:
    files = {path.name for path in (STATIC / "models").glob("*.safetensors")}
    assert files == {one["file"] for _, one in CHECKPOINTS}, AGAIN
    for _, one in CHECKPOINTS:
        path = STATIC / "models" / one["file"]
        assert path.stat().st_size == one["bytes"] < 1e6
        with safe_open(path, "pt") as file:
            assert file.metadata() == {"run": one["run"], "steps": str(one["steps"])}


@pytest.mark.parametrize("last", [one for end in ENDS for one in end.values()], ids=lambda one: one["file"])
def test_the_page_tells_how_good_they_are(last: dict[str, Any]) -> None:
    """With the weights as they are in the files; the last digits of sums may turn an answer on another processor."""
    task, objective = exported(STATIC, last)
    for name, share in measured(objective, task).items():
        assert share == pytest.approx(last[name], abs=0.005), AGAIN


@pytest.mark.parametrize(("graph", "end"), list(zip(GRAPHS, ENDS, strict=True)), ids=str)
def test_the_cheat_throws_dice_and_the_others_have_learnt(graph: dict[str, Any], end: dict[str, Any]) -> None:
    """What the page says of its networks."""
    assert abs(end["teacher_forcing"]["right"] - 1 / graph["task"]["degree"]) < 0.05
    assert min(last["right"] for method, last in end.items() if method != "teacher_forcing") > 0.95


def test_the_cheat_does_not_look_at_the_goal() -> None:
    """What the page says of their last layer, where they are about to say the first step, over 200 test graphs."""
    seen = {}
    for method in ("teacher_forcing", "multi_token"):
        task, objective = exported(STATIC, LAST[method])
        prompts, answers = task.sample("test", torch.arange(200))
        with torch.no_grad():
            maps = objective.model.attention_maps(torch.cat([prompts, answers[:, :1]], dim=1))[-1, :, :, -1]
        _, targets = task.edges(prompts)
        right = (targets[:, :, None] == answers[:, None, 1:]).any(dim=2)  # [B, edges]
        edges = torch.stack([maps[:, :, at : at + 2].sum(dim=(1, 2)) for at in range(0, task.question_at, 3)], dim=1)
        goal = maps[:, :, task.question_at + 1].amax(dim=1).mean().item()
        seen[method] = goal, ((edges * right).sum() / edges.sum()).item()
    assert seen["multi_token"][0] > 0.9
    assert seen["multi_token"][1] > 0.7
    assert seen["teacher_forcing"][0] < 0.2
    assert abs(seen["teacher_forcing"][1] - 0.5) < 0.05


@pytest.mark.parametrize("end", ENDS, ids=["two arms", "three arms"])
def test_one_with_a_plan_leaves_the_wrong_arm(end: dict[str, Any]) -> None:
    """What the page says of networks that are put on an arm, over 200 test graphs: the others go on along it."""
    for method, last in end.items():
        if method == "reversed":
            continue
        task, objective = exported(STATIC, last)
        prompts, answers = task.sample("test", torch.arange(200))
        wrong = task.arms(prompts)[:, 1]
        given = torch.stack([answers[:, 0], wrong[:, 0]], dim=1)
        second = answers[:, 2] if method == "latent_lookahead" else wrong[:, 1]
        assert (objective.answer(prompts, given)[:, 2] == second).float().mean() > 0.9


def test_each_step_back_is_one_look_up() -> None:
    """What the page says of the second layer: at a state that says a node, a head looks at the edge that ends there."""
    task, objective = exported(STATIC, LAST["latent_lookahead"])
    prompts, answers = task.sample("test", torch.arange(200))
    model = objective.model
    with torch.no_grad():
        taken = model.embed(torch.cat([prompts, answers[:, :1]], dim=1))
        for _ in range(3):
            taken = torch.cat([taken, model(taken, last=1)], dim=1)
        maps = model.attention_maps(taken)[1]  # [B, heads, T, T]
    ends = prompts[:, 1 : task.question_at : 3]  # [B, edges]
    for state, node in ((0, 3), (1, 2)):
        looks = maps[:, :, task.prompt_length + 1 + state, 1 : task.question_at : 3]  # [B, heads, edges]
        seen = (looks * (ends == answers[:, node, None])[:, None]).sum(dim=2)
        assert seen.mean(dim=0).max() > 0.9, "one head does it on all graphs"


def test_the_still_picture_is_drawn_from_them() -> None:
    files = (STATIC / "play.svg", STATIC / "narrow" / "play.svg")
    assert tuple(file.read_text(encoding="utf-8") for file in files) == still(STATIC), AGAIN


def test_the_runs_of_a_method_are_one_training() -> None:
    """A run of fewer training steps is the beginning of a longer one, bit for bit."""
    assert len({dataclasses.replace(run, steps=1).id for run in runs()}) == sum(map(len, ENDS))
    long, short = dataclasses.replace(runs()[0], steps=4), dataclasses.replace(runs()[0], steps=2)
    weights = [state_tensors(moment.objective) for run in (long, short) for moment in lookahead.watch(run, at=[2])]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_shares_of_edges_are_probabilities() -> None:
    """They fall along an arm, and no more than all of them leave the start."""
    for checkpoint in [one for end in ENDS for one in end.values()]:
        task, objective = exported(STATIC, checkpoint)
        prompts, _ = task.sample("test", torch.arange(5))
        for prompt in prompts:
            shares = torch.tensor(edge_shares(objective, task, prompt))  # [d, l - 1]
            assert shares.min() >= 0
            assert shares[:, 0].sum() <= 1 + 1e-5
