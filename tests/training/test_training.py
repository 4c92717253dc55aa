"""The training loop: counted in steps, the options used, and resumed as if nothing had happened."""

import contextlib
import json
import math
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate
from lookahead.runs.run import Run
from lookahead.training import Member, Settings, Trained, sitting, train
from lookahead.training.captured import Captured
from lookahead.training.checkpoints import Checkpoints, state_tensors
from lookahead.training.member import NonFiniteLoss
from lookahead.training.muon import Muon
from lookahead.training.optimizers import Optimizers, grouped
from lookahead.training.sitting import Interrupted, OutOfTime
from lookahead.training.step import Step, teach, training_indices
from trainer import optimizers_of, train_one

MakeRun = Callable[..., Run]


def no_measure(objective: Objective) -> dict[str, Any]:
    """For trainings that are judged by nothing."""
    return {"autoregressive_accuracy": 0.0}


def weights(objective: Objective) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state_tensors(objective).items()}


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    assert [name for name, tensor in one.items() if not torch.equal(tensor, other[name])] == []


# -- counted in steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 512])
def test_the_schedule_counts_steps(batch_size: int) -> None:
    """Whatever the batch: a horizon counted in samples would end 512 times too early."""
    constant = Settings(steps=100, warmup=10, batch_size=batch_size)
    assert [constant.rate(step) for step in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1, 1, 1]
    cosine = Settings(steps=110, warmup=10, schedule="cosine", batch_size=batch_size)
    assert [cosine.rate(step) for step in (0, 9, 10)] == [0.1, 1, 1]
    assert cosine.rate(60) == pytest.approx(0.5)
    assert cosine.rate(35) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert cosine.rate(110) == 0
    assert 0 < cosine.rate(109) < 1e-3
    falling = [cosine.rate(step) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 50])
def test_a_schedule_shorter_or_longer_than_the_training_stays_a_share(schedule: Any, warmup: int) -> None:
    settings = Settings(steps=20, warmup=warmup, schedule=schedule)
    assert all(0 < settings.rate(step) <= 1 for step in range(20))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_schedule_reaches_the_optimiser(optimizer: str, tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(steps=8, warmup=3, schedule="cosine", optimizer=optimizer, learning_rate=0.004)
    used: list[list[float]] = []
    step = Optimizers.step

    def watched(self: Optimizers) -> None:
        step(self)
        used.append([group["lr"] for part in self.parts for group in part.param_groups])

    monkeypatch.setattr(Optimizers, "step", watched)
    task, objective = run.build()
    train_one(objective, task, run, no_measure)
    full = [0.004, 0.004] + ([0.04] if optimizer == "muon" else [])  # Muon's is ten times AdamW's
    assert used == [pytest.approx([rate * run.rate(k) for rate in full]) for k in range(8)]


def test_the_interval_of_evaluation_is_in_steps(tiny_run: MakeRun) -> None:
    run = tiny_run(steps=11, evaluate_every=4, batch_size=16)
    task, objective = run.build()
    measured: list[int] = []

    def measure(objective: Objective) -> dict[str, Any]:
        measured.append(1)
        return no_measure(objective)

    done = train_one(objective, task, run, measure)
    assert [row["step"] for row in done.curve] == [0, 4, 8, 11]
    assert len(measured) == 4
    assert (done.steps, done.stopped_early) == (11, False)


def test_the_training_loss_is_the_mean_since_the_last_row(tiny_run: MakeRun) -> None:
    run = tiny_run(steps=5, evaluate_every=2)
    task, objective = run.build()
    losses = []
    objective.register_forward_hook(lambda *given: losses.append(given[2].total.item()))
    curve = train_one(objective, task, run, no_measure).curve
    expected = [None, sum(losses[0:2]) / 2, sum(losses[2:4]) / 2, losses[4]]
    assert curve[0]["training_loss"] is None
    assert [row["training_loss"] for row in curve[1:]] == pytest.approx(expected[1:], rel=1e-6)


def test_each_step_sees_the_batch_of_its_number(tiny_run: MakeRun) -> None:
    run = tiny_run(steps=3, batch_size=4)
    task, objective = run.build()
    seen = []
    objective.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    train_one(objective, task, run, no_measure)
    assert torch.equal(torch.cat(seen), task.sample("train", torch.arange(12))[0])


# -- data ----------------------------------------------------------------------------------------------------


def test_fresh_examples_are_consecutive() -> None:
    seen = torch.cat([training_indices(step, Settings(batch_size=7), seed=1) for step in range(5)])
    assert seen.tolist() == list(range(35))


@pytest.mark.parametrize(("examples", "batch_size"), [(10, 10), (10, 3), (7, 20), (1, 4), (2, 3), (12, 5), (97, 8)])
def test_a_fixed_training_set_is_seen_once_an_epoch(examples: int, batch_size: int) -> None:
    epochs = 12
    steps = -(-examples * epochs // batch_size)
    settings = Settings(batch_size=batch_size, train_examples=examples)
    seen = torch.cat([training_indices(step, settings, seed=1) for step in range(steps)])
    orders = seen[: examples * epochs].view(epochs, examples)
    assert all(sorted(order) == list(range(examples)) for order in orders.tolist())
    if examples > 5:
        assert orders.unique(dim=0).shape[0] > epochs // 2, "the order does not change"
        other = torch.cat([training_indices(step, settings, seed=2) for step in range(steps)])
        assert not torch.equal(seen, other)


def test_a_share_of_a_batch_is_repeated_and_the_rest_fresh() -> None:
    """The repeated ones as if they were the whole batch; no fresh one is among them, and none comes again."""
    settings = Settings(batch_size=8, train_examples=10, repeated=0.25)
    seen = torch.stack([training_indices(step, settings, seed=1) for step in range(20)])
    alone = Settings(batch_size=2, train_examples=10)
    assert torch.equal(seen[:, :2], torch.stack([training_indices(step, alone, seed=1) for step in range(20)]))
    assert seen[:, 2:].flatten().tolist() == list(range(10, 130))


# -- the optimisers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_is_used(optimizer: Any, tiny_run: MakeRun) -> None:
    """With no gradient nothing moves a weight but its decay: 1 - rate * decay of every matrix, no vector."""
    run = tiny_run(optimizer=optimizer, weight_decay=0.5, learning_rate=0.01, matrix_learning_rate=0.02)
    objective = run.build()[1]
    before = weights(objective)
    optimizers = optimizers_of(objective, run)
    for parameter in objective.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.set_rate(0.5)
    optimizers.step()
    for name, weight in weights(objective).items():
        hidden = optimizer == "muon" and "embedding" not in name
        rate = 0 if weight.ndim < 2 else 0.02 if hidden else 0.01
        torch.testing.assert_close(weight, before[name] * (1 - 0.5 * rate * 0.5), msg=name)


def test_muon_takes_the_hidden_matrices_alone(tiny_run: MakeRun) -> None:
    run = tiny_run(optimizer="muon")
    objective = run.build()[1]
    adamw, muon = optimizers_of(objective, run).parts
    assert isinstance(muon, Muon)
    names = {id(p): name for name, p in objective.named_parameters()}
    taken = [{names[id(p)] for group in part.param_groups for p in group["params"]} for part in (adamw, muon)]
    layers = ("attention.query_key_value", "attention.out", "mlp_in", "mlp_out")
    assert taken[1] == {f"model.blocks.0.{name}.weight" for name in layers}
    assert taken[0] | taken[1] == set(names.values())
    assert taken[0].isdisjoint(taken[1])


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_clipping_bounds_the_gradient(clip: float | None, tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    step = Optimizers.step

    def watched(self: Optimizers) -> None:
        norms.append(torch.cat([p.grad.flatten() for p in objective.parameters()]).norm().item())  # type: ignore[union-attr]
        step(self)

    monkeypatch.setattr(Optimizers, "step", watched)
    run = tiny_run(clip=clip, steps=3)
    task, objective = run.build()
    train_one(objective, task, run, no_measure)
    assert len(norms) == 3
    assert all(norm > 0.01 for norm in norms) if clip is None else norms == pytest.approx([1e-3] * 3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_loss_falls(optimizer: str, tiny_run: MakeRun) -> None:
    """The start of the answer stands in the prompt; to copy it takes the mean loss down fast."""
    run = tiny_run(steps=60, evaluate_every=20, batch_size=32, optimizer=optimizer, learning_rate=0.01, warmup=5)
    task, objective = run.build()
    curve = train_one(objective, task, run, no_measure).curve
    assert curve[-1]["training_loss"] < 0.9 * curve[1]["training_loss"]


def test_bfloat16_is_used_and_learns(tiny_run: MakeRun) -> None:
    ended = {}
    for precision in ("float32", "bfloat16"):
        run = tiny_run(steps=60, evaluate_every=20, batch_size=32, learning_rate=0.01, precision=precision)
        task, objective = run.build()
        curve = train_one(objective, task, run, no_measure).curve
        assert curve[-1]["training_loss"] < 0.9 * curve[1]["training_loss"]
        assert all(p.dtype == torch.float32 for p in objective.parameters())
        ended[precision] = weights(objective)
    name = "model.blocks.0.mlp_in.weight"
    assert not torch.equal(ended["float32"][name], ended["bfloat16"][name])


# -- stopping and going on -----------------------------------------------------------------------------------


def rising(task: Task) -> Callable[[Objective], dict[str, Any]]:
    """A measure that says how many steps of ten are done, read off the weights' own history: 0.1, 0.2, ..."""
    calls = iter(range(1000))

    def measure(objective: Objective) -> dict[str, Any]:
        return {"autoregressive_accuracy": next(calls) / 10}

    return measure


def test_early_stop(tiny_run: MakeRun) -> None:
    run = tiny_run(steps=30, evaluate_every=3, stop_at=0.4)
    task, objective = run.build()
    done = train_one(objective, task, run, rising(task))
    assert (done.steps, done.stopped_early) == (12, True)
    assert [row["step"] for row in done.curve] == [0, 3, 6, 9, 12]


def test_a_judge_may_be_another_measure(tiny_run: MakeRun) -> None:
    run = tiny_run(steps=30, evaluate_every=3, stop_at=0.4, judged_by="decision_accuracy")
    task, objective = run.build()
    done = train_one(objective, task, run, lambda _: {"autoregressive_accuracy": 0.0, "decision_accuracy": 0.5})
    assert done.steps == 3  # the row before any step stops nothing


RESUMED = {
    "adamw": {},
    "muon, cosine, a fixed set, no clip": {
        "optimizer": "muon",
        "schedule": "cosine",
        "train_examples": 37,
        "clip": None,
    },
    "a share again and again": {"train_examples": 37, "repeated": 0.5},
    "bfloat16, reversed": {"precision": "bfloat16", "objective": "reversed"},
    "hints": {"objective": {"name": "hints", "start": False, "taught": "decision"}},
}


@pytest.mark.parametrize("fields", RESUMED.values(), ids=RESUMED)
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(
    fields: dict[str, Any], tiny_run: MakeRun, tmp_path: Path
) -> None:
    """Interrupted twice, in steps that are no evaluation and no checkpoint: weights and curve bit for bit."""
    run = tiny_run(steps=17, evaluate_every=5, **fields)

    def trained(stops: list[int], folder: Path) -> tuple[Trained, dict[str, Tensor]]:
        task, objective = run.build()
        steps = [0]

        def stop(*_: object) -> None:
            steps[0] += 1
            if steps[0] in stops:
                signal.raise_signal(signal.SIGINT)

        def measure(objective: Objective) -> dict[str, Any]:
            hook.remove()  # count training steps alone
            found = evaluate(objective, task, "validation", 16)
            register()
            return found

        def register() -> None:
            nonlocal hook
            hook = objective.register_forward_pre_hook(stop)

        hook = objective.register_forward_pre_hook(stop)
        checkpoints = Checkpoints(folder, run.id)
        done = train_one(objective, task, run, measure, seed=run.seed, checkpoints=checkpoints, checkpoint_every=6)
        return done, weights(objective)

    undisturbed, expected = trained([], tmp_path / "one")
    with pytest.raises(Interrupted, match="stopped after step 4 of 17; the same call goes on from there"):
        trained([4], tmp_path / "two")
    with pytest.raises(Interrupted, match="stopped after step 13 of 17"):
        trained([9], tmp_path / "two")
    resumed, found = trained([], tmp_path / "two")
    assert_same_weights(found, expected)
    assert json.dumps(resumed.curve) == json.dumps(undisturbed.curve)  # NaN is equal to NaN as text
    assert resumed.steps == undisturbed.steps == 17


def test_ctrl_c_in_the_step_of_the_early_stop_does_not_train_on(tiny_run: MakeRun, tmp_path: Path) -> None:
    run = tiny_run(steps=30, evaluate_every=3, stop_at=0.2)
    checkpoints = Checkpoints(tmp_path, run.id)
    task, objective = run.build()
    measure = rising(task)

    def interrupt(objective: Objective) -> dict[str, Any]:
        found = measure(objective)
        if found["autoregressive_accuracy"] == 0.2:
            signal.raise_signal(signal.SIGINT)
        return found

    with pytest.raises(Interrupted, match="stopped after step 6"):
        train_one(objective, task, run, interrupt, checkpoints=checkpoints)
    ended = weights(objective)
    task, objective = run.build()
    done = train_one(objective, task, run, measure, checkpoints=checkpoints)
    assert (done.steps, done.stopped_early) == (6, True)
    assert_same_weights(weights(objective), ended)


def test_a_second_ctrl_c_does_not_wait(tiny_run: MakeRun) -> None:
    run = tiny_run()
    task, objective = run.build()

    def impatient(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    objective.register_forward_pre_hook(impatient)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as raised:
        train_one(objective, task, run, no_measure)
    assert raised.type is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_training_is_not_begun_again(tiny_run: MakeRun, tmp_path: Path) -> None:
    run = tiny_run(steps=6)
    checkpoints = Checkpoints(tmp_path, run.id)
    for _ in range(2):
        task, objective = run.build()
        steps: list[int] = []
        objective.register_forward_pre_hook(lambda *_, steps=steps: steps.append(1))
        train_one(objective, task, run, no_measure, checkpoints=checkpoints, checkpoint_every=3)
    assert steps == []
    task, objective = run.build()
    objective.register_forward_pre_hook(lambda *_: steps.append(1))
    train_one(objective, task, run, no_measure, checkpoints=checkpoints, resume="never")
    assert len(steps) == 6


def test_an_unknown_way_to_resume_is_refused(tiny_run: MakeRun) -> None:
    run = tiny_run()
    task, objective = run.build()
    with pytest.raises(LookaheadError, match="resume is 'latest' or 'never', not 'last'"):
        train_one(objective, task, run, no_measure, resume="last")  # type: ignore[arg-type]


@pytest.mark.parametrize("failing", [0, 3, 6])
def test_a_measurement_that_fails_costs_no_training(failing: int, tiny_run: MakeRun, tmp_path: Path) -> None:
    """Before the first step, between steps, after the last: the state is kept, and the row is measured next time."""
    run = tiny_run(steps=6, evaluate_every=3)
    taken: list[int] = []

    def norm(objective: Objective) -> dict[str, Any]:
        return {"autoregressive_accuracy": 0.0, "norm": next(objective.parameters()).norm().item()}

    def fails(objective: Objective) -> dict[str, Any]:
        if len(taken) == failing:
            raise torch.OutOfMemoryError("no room")
        return norm(objective)

    def counted() -> tuple[Objective, Task]:
        task, objective = run.build()
        objective.register_forward_pre_hook(lambda *_: taken.append(1))
        return objective, task

    expected = train_one(*reversed(run.build()), run, norm)
    kept = Checkpoints(tmp_path, run.id)
    with pytest.raises(torch.OutOfMemoryError):
        train_one(*counted(), run, fails, checkpoints=kept)
    assert kept.steps_found() == failing
    found = train_one(*counted(), run, norm, checkpoints=kept)
    assert len(taken) == 6
    assert found.curve == expected.curve


def test_what_fails_after_the_last_step_costs_no_training(tiny_run: MakeRun, tmp_path: Path) -> None:
    run = tiny_run(steps=6)
    kept = Checkpoints(tmp_path, run.id)
    task, objective = run.build()

    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train([Member(objective, task, run, 0, kept)], lambda *_: [no_measure(objective)], finished=fails)
    task, again = run.build()
    again.register_forward_pre_hook(lambda *_: pytest.fail("trained again"))
    train_one(again, task, run, no_measure, checkpoints=kept)
    assert torch.equal(next(again.parameters()), next(objective.parameters()))


def test_to_go_on_with_other_threads_is_told(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only then: they change the last digits."""
    run = tiny_run(steps=6)
    kept = Checkpoints(tmp_path, run.id)

    def trained() -> Trained:
        task, objective = run.build()
        return train_one(objective, task, run, no_measure, checkpoints=kept, checkpoint_every=3)

    trained()
    kept.latest.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(trained().machines) == 1
    kept.latest.unlink()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with pytest.warns(
        UserWarning, match=f"run {run.id} was begun with threads 1, .* and goes on with threads 7, .*bit for"
    ):
        machines = trained().machines
    assert [machine["threads"] for machine in machines] == [1, 7]


# -- losses that are no numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_named_and_the_last_good_state_kept(
    bad: float, tiny_run: MakeRun, tmp_path: Path
) -> None:
    run = tiny_run(steps=20, evaluate_every=5)
    checkpoints = Checkpoints(tmp_path, run.id)
    task, objective = run.build()
    steps = iter(range(100))

    def spoil(module: Any, given: Any, loss: Any) -> None:
        if next(steps) == 11:
            loss.total = loss.total * bad

    hook = objective.register_forward_hook(spoil)
    with pytest.raises(NonFiniteLoss, match=f"the loss of step 11 is {bad}: lower the learning rate"):
        train_one(objective, task, run, no_measure, checkpoints=checkpoints, checkpoint_every=4)
    tensors, record = checkpoints.take_up(lambda *found: found)  # type: ignore[misc]
    assert record["steps"] == 8
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    hook.remove()
    assert train_one(objective, task, run, no_measure, checkpoints=checkpoints).steps == 20


def test_a_weight_that_is_no_number_is_never_saved(tiny_run: MakeRun, tmp_path: Path) -> None:
    """The loss of the step was finite, its gradient was not: the checkpoint before it stays."""
    run = tiny_run(steps=20, evaluate_every=20, clip=None)
    checkpoints = Checkpoints(tmp_path, run.id)
    task, objective = run.build()
    steps = iter(range(100))
    weight = next(objective.parameters())
    hook = weight.register_hook(lambda gradient: gradient * (math.nan if next(steps) == 7 else 1))
    with pytest.raises(NonFiniteLoss, match="after step 8 a weight is no number: lower the learning rate"):
        train_one(objective, task, run, no_measure, checkpoints=checkpoints, checkpoint_every=4)
    hook.remove()
    tensors, record = checkpoints.take_up(lambda *found: found)  # type: ignore[misc]
    assert record["steps"] == 4
    assert all(tensor.isfinite().all() for tensor in tensors.values())


# -- progress ------------------------------------------------------------------------------------------------


def test_progress_goes_to_a_file(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress.json"
    monkeypatch.setenv("LOOKAHEAD_PROGRESS", str(path))
    run = tiny_run(steps=4)
    task, objective = run.build()
    train_one(objective, task, run, no_measure, label="this one")
    report = json.loads(path.read_text())
    assert {key: report[key] for key in ("label", "step", "steps")} == {"label": "this one", "step": 4, "steps": 4}
    assert report["loss"] > 0
    assert report["speed"] > 0


def test_a_training_outlives_its_progress_file(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKAHEAD_PROGRESS", str(tmp_path / "no folder" / "progress.json"))
    run = tiny_run(steps=4)
    task, objective = run.build()
    assert train_one(objective, task, run, no_measure).steps == 4


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, muon, not 'sgd'"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, not 'linear'"),
        ({"precision": "fp16"}, "precision must be one of float32, bfloat16, not 'fp16'"),
        ({"judged_by": "loss"}, "judged_by must be one of autoregressive_accuracy, decision_accuracy, not 'loss'"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ({"steps": None}, "steps must be a whole number, not None"),
        ({"batch_size": "8"}, "batch_size must be a whole number, not '8'"),
        ({"evaluate_every": -1}, "evaluate_every must be at least 1"),
        ({"train_examples": 0}, "train_examples must be at least 1"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"learning_rate": 0}, "learning_rate must be above 0, not 0"),
        ({"learning_rate": None}, "learning_rate must be a number, not None"),
        ({"learning_rate": math.nan}, "learning_rate must be a number, not nan"),
        ({"matrix_learning_rate": -1.0}, "matrix_learning_rate must be above 0"),
        ({"clip": 0}, "clip must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, not -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must be a number, not nan"),
        ({"beta2": 1}, "beta2 must be above 0 and below 1, not 1"),
        ({"stop_at": 0}, "stop_at must be above 0 and at most 1, not 0"),
        ({"stop_at": 95}, "stop_at must be above 0 and at most 1, not 95"),
        ({"weight_decay": "0.1"}, "weight_decay must be a number, not '0.1'"),
        ({"beta2": [1]}, r"beta2 must be a number, not \[1\]"),
        ({"learning_rate": 10**400}, r"learning_rate must be a number, not 1000\S*0000"),
        ({"learning_rate": True}, "learning_rate must be a number, not True"),
        ({"repeated": 0.5}, "repeated is a share of train_examples: say how many there are"),
        (
            {"repeated": 0.1, "train_examples": 9, "batch_size": 4},
            "must leave an example of 4 in a batch",
        ),
        ({"train_examples": "all"}, "train_examples must be a whole number or None, not 'all'"),
        ({"steps": 2**64}, "steps must be at most 9007199254740992, not 18446744073709551616"),
        ({"schedule": ["cosine"]}, r"schedule must be one of constant, cosine, not \['cosine'\]"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        Settings(**fields)


# -- stopped before a deadline -------------------------------------------------------------------------------


def test_a_training_that_stops_before_its_deadline_goes_on_to_the_same_weights(
    tiny_run: MakeRun, tmp_path: Path
) -> None:
    run = tiny_run(steps=60, evaluate_every=20, optimizer="muon")
    task, whole = run.build()
    expected = train_one(whole, task, run, no_measure)
    _, objective = run.build()
    sittings = []
    while True:
        kept = Checkpoints(tmp_path, run.id)
        try:
            found = train_one(objective, task, run, no_measure, checkpoints=kept, deadline=time.monotonic() + 0.05)
            break
        except OutOfTime as out:
            sittings.append(out)
            _, objective = run.build()
    assert len(sittings) > 1
    assert all(out.steps >= 1 for out in sittings), "every sitting gets on"
    assert all(f"of {run.steps}; the same call goes on from there" in str(out) for out in sittings)
    assert_same_weights(weights(objective), weights(whole))
    assert found.curve == expected.curve


def test_what_comes_after_the_last_step_has_its_time_before_the_deadline(tiny_run: MakeRun) -> None:
    """The caller's own measures, eight times as long as one of these, would end too late: it stops at once."""
    run = tiny_run(steps=2000, evaluate_every=1000)
    task, objective = run.build()

    def slow(objective: Objective) -> dict[str, Any]:
        time.sleep(0.05)
        return no_measure(objective)

    with pytest.raises(OutOfTime) as raised:
        train_one(objective, task, run, slow, deadline=time.monotonic() + 0.4, measures_after=8)
    assert raised.value.steps == 1


def test_checkpoints_come_by_the_clock_too(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(steps=4)
    task, objective = run.build()
    monkeypatch.setattr(sitting, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    saved = []
    kept = Checkpoints(tmp_path, run.id)
    monkeypatch.setattr(kept, "save", lambda tensors, record: saved.append(record["steps"]))
    train_one(objective, task, run, no_measure, checkpoints=kept)
    assert saved == [1, 2, 3, 4]


# -- how a step is computed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["teacher_forcing", "reversed", "teacherless", {"name": "hints", "start": False}])
def test_a_batch_that_is_split_has_the_same_gradient(
    objective: Any, tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory runs out at more than 3 examples at a time."""
    run = tiny_run(objective=objective, steps=3, clip=0.5, optimizer="muon")
    found = {}
    for room in (8, 3):
        task, built = run.build()
        take = Step(built.double(), task, run, run.seed)

        def tight(*given: Any, room: int = room) -> Any:
            if len(given[1]) > room:
                raise torch.OutOfMemoryError("no room")
            return teach(*given)

        take.teach = tight
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            losses = [take(k).item() for k in range(3)]
        sizes = [str(w.message).split(" are computed")[0].split()[-1] for w in told]
        assert sizes == ([] if room == 8 else ["4", "2"])
        found[room] = losses, [p.detach().clone() for p in built.parameters()]
    torch.testing.assert_close(found[3], found[8], rtol=1e-10, atol=1e-12)


def test_a_gpu_without_room_for_one_example_is_an_error(tiny_run: MakeRun) -> None:
    run = tiny_run()
    task, objective = run.build()
    take = Step(objective, task, run, run.seed)

    def none(*given: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    take.teach = none
    with (
        pytest.warns(UserWarning, match="ran out of memory"),
        pytest.raises(LookaheadError, match="has no memory for one example: a smaller"),
    ):
        take(0)


class Recording:
    """Stands in for torch.cuda.CUDAGraph on a CPU: a replay computes once more what was recorded."""

    def replay(self) -> None:
        self.outcome.copy_(self.again())


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """What a captured function does, but for the recording itself, on a CPU."""
    made: list[Recording] = []

    def record(self: Captured) -> None:
        recording = Recording()
        before = [value.clone() for value in self.inputs]
        assert all(value.data_ptr() != other.data_ptr() for value, other in zip(before, self.inputs, strict=True))
        recording.again = lambda: self.function(*self.inputs)
        self.graph, self.output = recording, torch.zeros(())
        recording.outcome = self.output
        made.append(recording)

    monkeypatch.setattr(Captured, "record", record)
    monkeypatch.setattr(Captured, "aside", lambda self, *inputs: self.function(*inputs))
    return made


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_captured_step_takes_its_inputs_from_where_they_were_recorded(
    optimizer: str, recorded: list[Recording], tiny_run: MakeRun
) -> None:
    """Its data, its place and its rate change from step to step though nothing is called anew. What only a GPU can
    record is tested there."""
    run = tiny_run(optimizer=optimizer, steps=9, schedule="cosine", train_examples=20)
    losses = {}
    for captured in (False, True):
        task, objective = run.build()
        take = Step(objective, task, run, run.seed)
        if captured:
            named, groups = dict(objective.named_parameters()), grouped(objective, optimizer)
            take.optimizers = Optimizers(named, groups, run, on_device=True)
            take.run = Captured(take.update)
        losses[captured] = [take(k) for k in range(9)]
    assert len(recorded) == 1
    torch.testing.assert_close(losses[True], losses[False], rtol=1e-5, atol=0)


def test_no_optimiser_warns_that_it_is_not_captured_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """It steps before the recording, on a GPU; here torch is told that there is one."""
    stream = SimpleNamespace(wait_stream=lambda other: None, is_capturing=lambda: False)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda one: contextlib.nullcontext())
    weight = torch.nn.Parameter(torch.ones(2))

    def stepping(gradient: Tensor) -> Tensor:
        optimizer = torch.optim.AdamW([weight], fused=True, capturable=True)
        optimizer._warned_capturable_if_run_uncaptured = False  # whatever this torch begins with
        weight.grad = gradient
        with monkeypatch.context() as pretended:
            pretended.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
            pretended.setattr(torch.accelerator, "current_stream", lambda: stream)
            optimizer.step()
        return weight.detach()

    with pytest.warns(UserWarning, match="capturable=True"):
        stepping(torch.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Captured(stepping).aside(torch.ones(2))


@pytest.mark.long
def test_a_compiled_step_is_the_step(tiny_run: MakeRun) -> None:
    """torch.compile takes half a minute and a C++ compiler on a CPU."""
    run = tiny_run(steps=5, optimizer="muon")
    losses = {}
    for engine in ("eager", "compiled"):
        task, objective = run.build()
        take = Step(objective, task, run, run.seed, engine=engine)  # type: ignore[arg-type]
        losses[engine] = [take(k) for k in range(5)]
    torch.testing.assert_close(losses["compiled"], losses["eager"], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("fast", "unknown engine 'fast'; known: auto, eager, compiled, captured"),
        ("captured", "a cpu has no CUDA graphs"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(engine: Any, message: str, tiny_run: MakeRun) -> None:
    run = tiny_run()
    task, objective = run.build()
    with pytest.raises(LookaheadError, match=message):
        train_one(objective, task, run, no_measure, engine=engine)
