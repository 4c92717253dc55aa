"""What all remedies have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import lookahead
from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate
from lookahead.runs.harness import run_all
from lookahead.runs.result import Result
from lookahead.runs.run import Run

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}
SMALL = {"name": "transformer", "layers": 2, "width": 32, "heads": 2}

REMEDIES: dict[str, dict[str, Any]] = {
    "token_order": {},
    "joint_multi_token": {"tokens": 3},
    "next_latent": {"horizon": 2},
    "future_summary": {},
    "sequential_modules": {"modules": 2},
    "belief_state": {},
    "masked": {},
    "any_order": {"shuffled": 0.5},
    "register_tokens": {"farthest": 3},
    "lookahead_tokens": {"rung": 0},
    "ranking": {},
    "latent_lookahead": {"steps": 2},
    "retraced": {"name": "latent_lookahead", "steps": 2, "order": "backward"},
    "latent_tokens": {"tokens": 3},
    "planning_tokens": {},
    "reweighted": {"name": "hints", "weight": 5},
    "dropped": {"name": "corrupted", "how": "mask"},
    "replaced": {"name": "corrupted", "how": "replace", "rate": 0.3},
    "sampled": {"name": "corrupted", "how": "sample", "rate": 1, "rising": True},
}
each = pytest.mark.parametrize(
    "method", [{"name": name, **options} for name, options in REMEDIES.items()], ids=REMEDIES
)


def noise_for(objective: Objective, count: int, step: int = 0) -> Tensor | None:
    """What an objective that asks for noise gets for the first examples."""
    return objective.noise(("a test", step), torch.arange(count))


@each
def test_a_small_batch_is_learnt_by_heart(method: Any) -> None:
    """Down to every part of the loss, and then answered without a teacher."""
    task, objective = Run(task=TASK, model=SMALL, objective=method).build()
    prompts, answers = task.sample("train", torch.arange(8))
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, total_iters=320)  # then aims stop moving, too
    loss = objective(prompts, answers, noise_for(objective, 8))
    first = {name: value.item() for name, value in loss.parts.items()}
    for step in range(320):
        loss = objective(prompts, answers, noise_for(objective, 8, step), torch.tensor(step / 320))
        loss.total.backward()
        optimizer.step()
        falling.step()
        optimizer.zero_grad()
    loss = objective(prompts, answers, noise_for(objective, 8))
    assert loss.tokens.mean() < 0.1
    assert torch.equal(objective.answer(prompts), answers)
    assert torch.equal(loss.predictions, answers)
    least = {"order": 0.7}  # the entropy of what is asked for
    for name, value in loss.parts.items():
        assert value < 0.15 + least.get(name, 0), name
        assert value < first[name], name


OTHERWISE = (
    "joint_multi_token",
    "belief_state",
    "masked",
    "any_order",
    "lookahead_tokens",
    "latent_lookahead",
    "latent_tokens",
    "dropped",
    "planning_tokens",
    "replaced",
    "retraced",
    "sampled",
)
"""Those that answer by more than the model, or read something else than teacher forcing: their tests say how."""
WITHOUT = [name for name in REMEDIES if name not in OTHERWISE]


@pytest.mark.parametrize("name", WITHOUT)
def test_answers_are_those_of_teacher_forcing_with_the_same_model(name: str, build: Build) -> None:
    task, objective = build({"name": name, **REMEDIES[name]}, task=TASK)
    _, forcing = build("teacher_forcing", task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(2)
    forcing.model.load_state_dict(objective.model.state_dict())
    prompts, answers = task.sample("test", torch.arange(40))
    assert len(forcing.answer(prompts).unique(dim=0)) > 2
    own = {id(parameter) for parameter in objective.model.parameters()}
    for parameter in objective.parameters():
        if id(parameter) not in own:
            torch.nn.init.normal_(parameter)
    assert torch.equal(objective.answer(prompts), forcing.answer(prompts))
    given = task.decoys(prompts, answers)[:, :2]
    assert torch.equal(objective.answer(prompts, given), forcing.answer(prompts, given))
    one, other = objective(prompts, answers, noise_for(objective, 40)), forcing(prompts, answers)
    assert torch.equal(one.predictions, other.predictions)
    torch.testing.assert_close(one.tokens, other.tokens)


@each
def test_bfloat16_by_autocast(method: Any) -> None:
    """The loss stays a number of float32, near the exact one."""
    task, objective = Run(task=TASK, model=SMALL, objective=method).build()
    prompts, answers = task.sample("train", torch.arange(8))
    noise = noise_for(objective, 8)
    exact = objective(prompts, answers, noise)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(prompts, answers, noise)
    assert loss.total.dtype == torch.float32
    assert loss.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


@each
def test_what_is_trained_is_stored_and_found_again(method: Any, tiny_run: Callable[..., Run], store: Path) -> None:
    """Alone and as a stack; what two parts of a method share is stored once."""
    runs = [tiny_run(objective=method, steps=2, evaluate_every=2, seed=seed) for seed in range(3)]
    alone = lookahead.run(runs[0], device="cpu")
    for result in (alone, *run_all(runs[1:], device="cpu")):
        assert isinstance(result, Result)
        task, objective = lookahead.trained(result.run)
        found = evaluate(objective, task, "test", 128)
        assert found["loss"] == pytest.approx(result.measures["loss"], rel=1e-4)
        assert found.get("parts", {}) == pytest.approx(result.measures.get("parts", {}), rel=1e-4)
    with safe_open(store / "runs" / alone.run.id / "weights.safetensors", "pt") as file:
        assert sum("token_embedding" in name for name in file.keys()) == 1  # noqa: SIM118 (no mapping)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "token_order", "temperature": 0}, "temperature must be above 0, not 0"),
        ({"name": "token_order", "temperature": "warm"}, "temperature must be a number, not 'warm'"),
        ({"name": "joint_multi_token", "tokens": 0}, "tokens must be at least 1, not 0"),
        ({"name": "joint_multi_token", "tokens": 5}, "an answer has 4 tokens: a state cannot predict 5"),
        ({"name": "joint_multi_token", "tokens": 2, "weighting": "max"}, "weighting must be .*sum.*mean.*, not 'max'"),
        ({"name": "next_latent", "horizon": 4}, "has 3 states after the first: a guess cannot go 4 steps"),
        ({"name": "next_latent", "horizon": 0}, "horizon must be at least 1, not 0"),
        ({"name": "future_summary", "weight": -1}, "weight must be above 0, not -1"),
        ({"name": "ranking", "weight": 0}, "weight must be above 0, not 0"),
        ({"name": "sequential_modules", "modules": 4}, "has 3 after the next one: 4 modules are too many"),
        ({"name": "sequential_modules", "modules": 1, "weight": 0}, "weight must be above 0, not 0"),
        ({"name": "belief_state", "gap": 1}, "unknown option of objective 'belief_state': gap; known: none"),
        ({"name": "masked", "focus": -1}, "focus must be at least 0, not -1"),
        ({"name": "masked", "answering": "sure"}, "answering must be one of confident, forward, once, not 'sure'"),
        ({"name": "any_order", "shuffled": 2}, "shuffled must be at least 0 and at most 1, not 2"),
        ({"name": "any_order", "order": "random"}, "order must be one of forward, backward, not 'random'"),
        ({"name": "register_tokens", "farthest": 1}, "farthest must be at least 2, not 1"),
        ({"name": "register_tokens", "farthest": 5}, "an answer has 4 tokens: farthest is at most that, not 5"),
        ({"name": "register_tokens", "farthest": 2, "weight": 0}, "weight must be above 0, not 0"),
        ({"name": "lookahead_tokens", "length": 3}, "2 tokens come after the decision: length is at most that"),
        ({"name": "lookahead_tokens", "rung": 2}, "1 tokens after the decision start at a rung from 0 to 1, not 2"),
        ({"name": "lookahead_tokens", "rung": 0, "length": 2}, "2 tokens .* start at a rung from 1 to 1, not 0"),
        ({"name": "lookahead_tokens", "share": 0}, "share must be above 0 and at most 1, not 0"),
        ({"name": "register_tokens"}, "objective 'register_tokens' needs farthest"),
        ({"name": "joint_multi_token"}, "objective 'joint_multi_token' needs tokens"),
        ({"name": "next_latent"}, "objective 'next_latent' needs horizon"),
        ({"name": "sequential_modules"}, "objective 'sequential_modules' needs modules"),
    ],
)
def test_bad_options_are_refused(method: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build(method, task=TASK)


@pytest.mark.parametrize("name", ["masked", "any_order", "register_tokens", "lookahead_tokens"])
def test_what_is_drawn_is_drawn_from_noise(name: str, build: Build) -> None:
    """Without noise there is nothing to teach; with another one, another loss, and the same measures."""
    task, objective = build({"name": name, **REMEDIES[name]}, task=TASK)
    prompts, answers = task.sample("train", torch.arange(8))
    with pytest.raises(LookaheadError, match="what is taught is drawn from noise"):
        objective(prompts, answers)
    one, other = (objective(prompts, answers, noise_for(objective, 8, step)) for step in range(2))
    assert not torch.isclose(one.total, other.total)
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.predictions, other.predictions)


@pytest.mark.parametrize("model", ["mamba-tiny", "mamba2-tiny"])
@pytest.mark.parametrize(("name", "attention"), [("masked", "full"), ("register_tokens", "masked")])
def test_who_cannot_read_from_left_to_right_refuses_a_scan(name: str, attention: str, model: str) -> None:
    with pytest.raises(LookaheadError, match=f"{name} needs {attention} attention, which a mamba2? cannot do"):
        Run(task=TASK, model=model, objective={"name": name, **REMEDIES[name]}).build()
