"""Many seeds at once: each member goes where its own run goes, leaves when it is done, and harms no other."""

import json
import math
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from scipy import stats
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lookahead.contracts import Loss, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate, evaluate_each, measures
from lookahead.files import make_folder
from lookahead.objectives import TeacherForcing
from lookahead.random import integers
from lookahead.runs import harness
from lookahead.runs.harness import Busy, measure_members, run_all
from lookahead.runs.parquet import read_pack
from lookahead.runs.result import Result, read_result, run_folder, trained
from lookahead.runs.run import Run
from lookahead.runs.staleness import replay
from lookahead.stack import Template, each, stack
from lookahead.tasks import PathStar
from lookahead.training import Member, Settings, Trained, train
from lookahead.training.captured import Captured
from lookahead.training.checkpoints import Checkpoints, load, state_tensors
from lookahead.training.member import NonFiniteLoss
from lookahead.training.muon import Muon
from lookahead.training.sitting import Interrupted, OutOfTime
from lookahead.training.stacked import StackedStep, teach_each
from lookahead.training.step import Step, training_indices
from trainer import train_one

MakeRun = Callable[..., Run]
CPU = torch.device("cpu")
DECISION_ALONE = {"name": "hints", "start": False, "taught": "decision"}
OBJECTIVES: list[Any] = ["teacher_forcing", "reversed", "teacherless", DECISION_ALONE]
REMEDIES: list[Any] = [
    "token_order",
    "future_summary",
    "belief_state",
    {"name": "joint_multi_token", "tokens": 2},
    {"name": "next_latent", "horizon": 1},
    {"name": "sequential_modules", "modules": 1},
    "masked",
    {"name": "masked", "hidden": "levels", "focus": 1, "answering": "forward"},
    {"name": "any_order", "shuffled": 0.5},
    {"name": "register_tokens", "farthest": 3},
    {"name": "lookahead_tokens", "answering": "lookahead"},
    "ranking",
    {"name": "latent_lookahead", "steps": 2},
    {"name": "policy_gradient", "samples": 2, "advantage": "normalised"},
    "value_guided",
    {"name": "latent_tokens", "tokens": 2},
    "planning_tokens",
    {"name": "hints", "weight": 5},
    {"name": "corrupted", "how": "replace"},
    {"name": "corrupted", "how": "sample", "rising": True},
]


class Noisy(TeacherForcing):
    """Hides what its noise says, so that a wrong noise shows."""

    name = "noisy"

    @classmethod
    def needs(cls, *lengths: int, **options: Any) -> Any:
        needs = super().needs(*lengths, **options)
        return type(needs)(needs.longest, extra_tokens=1, noise=True)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        assert noise is not None
        return super().forward(prompts, torch.where(noise < 0.3, self.dummy, answers))


def runs_of(tiny_run: MakeRun, count: int, **fields: Any) -> list[Run]:
    """Runs that differ in their seed."""
    return [tiny_run(**{"seed": 3 * i, "learning_rate": 2e-3, **fields}) for i in range(count)]


def members_of(runs: Sequence[Run], dtype: torch.dtype = torch.float32, folder: Path | None = None) -> list[Member]:
    members = []
    for run in runs:
        task, objective = run.build()
        kept = None if folder is None else Checkpoints(folder / run.id, run.id)
        members.append(Member(objective.to(dtype), task, run, run.seed, kept))
    return members


def step_of(members: Sequence[Member]) -> StackedStep:
    objectives, tasks, seeds = zip(*((m.objective, m.task, m.seed) for m in members), strict=True)
    return StackedStep(objectives, tasks, members[0].settings, seeds)


def judged(step: Step, rows: list[int]) -> list[dict[str, Any]]:
    """The measures of a few examples."""
    return measure_members(step, rows, "validation", 16)


def alone(member: Member, **more: Any) -> Trained:
    """Trains a member by itself, in place."""
    return train_one(
        member.objective,
        member.task,
        member.settings,
        lambda objective: evaluate(objective, member.task, "validation", 16),
        seed=member.seed,
        checkpoints=member.checkpoints,
        **more,
    )


def difference(one: Member, other: Member) -> float:
    """The largest between the weights of two."""
    a, b = state_tensors(one.objective), state_tensors(other.objective)
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def assert_same_curve(one: Any, other: Any, tolerance: float) -> None:
    """Step by step, to a tolerance; a NaN is a NaN."""
    assert [row["step"] for row in one] == [row["step"] for row in other]
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            pair = [torch.tensor(math.nan if row[name] is None else row[name]) for row in (a, b)]
            torch.testing.assert_close(*pair, rtol=tolerance, atol=tolerance, equal_nan=True, msg=name)


# -- a member goes where its own run goes --------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("objective", ["teacher_forcing", DECISION_ALONE], ids=["teacher_forcing", "hints"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_member_goes_where_its_own_run_goes(count: int, objective: Any, optimizer: str, tiny_run: MakeRun) -> None:
    """100 steps in float64, at different rates, with clipping that acts, a cosine and a fixed training set."""
    runs = runs_of(
        tiny_run,
        count,
        objective=objective,
        optimizer=optimizer,
        steps=100,
        evaluate_every=50,
        clip=0.5,
        schedule="cosine",
        train_examples=300,
    )
    together, solo = (members_of(runs, torch.float64) for _ in range(2))
    outcomes = train(together, judged)
    for one, own, outcome in zip(together, solo, outcomes, strict=True):
        expected = alone(own)
        assert isinstance(outcome, Trained)
        assert difference(one, own) < 1e-8
        assert_same_curve(outcome.curve, expected.curve, 1e-8)
        assert (outcome.steps, outcome.stopped_early, outcome.members) == (100, False, count)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_in_float32_it_goes_as_far_along_as_rounding_lets_it(precision: str, optimizer: str, tiny_run: MakeRun) -> None:
    """20 steps: losses to 1e-5, weights to a step of AdamW's, since the bias of the keys has no gradient but rounding,
    which AdamW makes a step of. bfloat16 has 8 bits: losses to 1 %, weights to the way that they can go in 20 steps."""
    runs = runs_of(
        tiny_run, 3, optimizer=optimizer, precision=precision, steps=20, evaluate_every=10, objective="reversed"
    )
    together, solo = (members_of(runs) for _ in range(2))
    outcomes = train(together, judged)
    loss, steps = (1e-5, 1) if precision == "float32" else (1e-2, 20)
    for one, own, outcome in zip(together, solo, outcomes, strict=True):
        expected = alone(own)
        assert isinstance(outcome, Trained)
        assert [row["training_loss"] for row in outcome.curve[1:]] == pytest.approx(
            [row["training_loss"] for row in expected.curve[1:]], rel=loss
        )
        assert difference(one, own) < steps * own.settings.learning_rate
        assert all(p.dtype == torch.float32 for p in one.objective.parameters())


@pytest.mark.long
def test_further_on_the_distributions_agree(store: Path) -> None:
    """A whole training in float32 against the stored runs of the same seeds, each trained alone: when they succeed, and
    the loss on the way there. The same test tells them from runs that need half as many steps again."""
    packed = Path(__file__).parents[2] / "results" / "direction-census.parquet"
    solo = [result for result in read_pack(packed) if result.run.objective == {"name": "reversed"}][:10]
    together = [result for result in run_all([r.run for r in solo], device="cpu") if isinstance(result, Result)]
    assert len(together) == len(solo) == 10

    def times(results: list[Result], factor: float = 1) -> list[float]:
        return [factor * (r.step_of_success or math.inf) for r in results]

    def losses(results: list[Result]) -> list[float]:
        return [row["training_loss"] for r in results for row in r.curve if row["step"] == 100]

    assert losses(together) != losses(solo), "they are not further on than rounding"
    assert stats.ks_2samp(times(together), times(solo)).pvalue > 0.05
    assert stats.ks_2samp(losses(together), losses(solo)).pvalue > 0.05
    assert stats.ks_2samp(times(together, 1.5), times(solo)).pvalue < 0.05


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["eager", "compiled", "captured"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_on_a_gpu_a_member_goes_where_its_own_run_goes(optimizer: str, engine: Any, tiny_run: MakeRun) -> None:
    """20 steps in float32; Muon multiplies in bfloat16 there."""
    runs = runs_of(tiny_run, 3, optimizer=optimizer, steps=20, evaluate_every=10, clip=0.5)
    together, solo = (members_of(runs) for _ in range(2))
    outcomes = train(together, judged, device="cuda", engine=engine)
    for own, outcome in zip(solo, outcomes, strict=True):
        own.objective.to("cuda")
        expected = alone(own, engine=engine)
        assert isinstance(outcome, Trained)
        assert outcome.engine == engine
        assert [row["training_loss"] for row in outcome.curve[1:]] == pytest.approx(
            [row["training_loss"] for row in expected.curve[1:]], rel=1e-3 if optimizer == "adamw" else 1e-2
        )


@pytest.mark.gpu
def test_on_a_gpu_the_gradients_are_those_of_each_alone(tiny_run: MakeRun) -> None:
    """The fused kinds of attention do not see, under vmap, that a gradient is wanted."""
    runs = runs_of(tiny_run, 3)
    members = members_of(runs)
    for member in members:
        member.objective.cuda()
    state = {name: tensor.requires_grad_() for name, tensor in stack([m.objective for m in members]).items()}
    indices = torch.arange(8, device="cuda")
    prompts, answers = PathStar.sample_each([m.task for m in members], "train", indices[None])  # type: ignore[arg-type]
    each(lambda o, p, a: o(p, a).total, Template(members[0].objective), state, prompts, answers).sum().backward()
    for i, member in enumerate(members):
        member.objective(*member.task.sample("train", indices)).total.backward()
        for name, parameter in member.objective.named_parameters():
            torch.testing.assert_close(state[name].grad[i], parameter.grad, rtol=1e-3, atol=1e-5)  # type: ignore[index]


def test_noise_is_each_members_own(tiny_run: MakeRun) -> None:
    runs = runs_of(tiny_run, 3, objective="noisy", steps=20, evaluate_every=10)
    together, solo = (members_of(runs, torch.float64) for _ in range(2))
    outcomes = train(together, judged)
    for one, own, outcome in zip(together, solo, outcomes, strict=True):
        expected = alone(own)
        assert difference(one, own) < 1e-8
        assert isinstance(outcome, Trained)
        assert_same_curve(outcome.curve, expected.curve, 1e-8)


class Recording:
    """Stands in for torch.cuda.CUDAGraph on a CPU: a replay computes once more what was recorded."""

    def replay(self) -> None:
        self.output.copy_(self.again())


def test_a_captured_step_takes_its_inputs_and_rates_from_where_they_were_recorded(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only a GPU can record is tested there. A member that leaves makes it record anew."""
    made: list[Recording] = []

    def record(self: Captured) -> None:
        recording = Recording()
        recording.again = lambda: self.function(*self.inputs)
        recording.output = torch.zeros(len(taking[-1].tasks))
        self.graph, self.output = recording, recording.output  # type: ignore[assignment]
        made.append(recording)

    monkeypatch.setattr(Captured, "record", record)
    monkeypatch.setattr(Captured, "aside", lambda self, *inputs: self.function(*inputs))
    runs = runs_of(tiny_run, 3, optimizer="muon", schedule="cosine", steps=12, train_examples=20)
    losses, taking = {}, []
    for captured in (False, True):
        members = members_of(runs)
        take = step_of(members)
        taking.append(take)
        if captured:
            take.run, take.engine = Captured(take.update), "captured"
        before = [take(k) for k in range(6)]
        take.keep([0, 2])
        losses[captured] = [*before, *(take(k) for k in range(6, 12))]
    assert len(made) == 2
    for one, other in zip(losses[True], losses[False], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


class FromTheHost(TorchDispatchMode):
    """Operations that would make a GPU wait for the host, or read what a CUDA graph cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._opname in ("_local_scalar_dense", "lift_fresh", "nonzero", "equal"):
            self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("objective", [*OBJECTIVES, *REMEDIES, "noisy"], ids=str)
def test_nothing_in_a_step_asks_for_a_number_or_brings_one(objective: Any, optimizer: str, tiny_run: MakeRun) -> None:
    """After the first steps, by which what is kept on the device is there."""
    runs = runs_of(tiny_run, 2, objective=objective, optimizer=optimizer, precision="bfloat16")
    members, index, progress = members_of(runs), torch.arange(8), torch.tensor(0.1)
    take = step_of(members)
    take.update(index[None], index, progress)
    with FromTheHost() as found:
        take.update(index[None], index, progress)
    assert found.seen == []


@pytest.mark.parametrize("objective", [*OBJECTIVES, *REMEDIES, "noisy"], ids=str)
def test_a_stack_compiles_in_one_graph(objective: Any, tiny_run: MakeRun) -> None:
    runs = runs_of(tiny_run, 2, objective=objective)
    members = members_of(runs)
    template, state = Template(members[0].objective), stack([m.objective for m in members])
    data = PathStar.sample_each([m.task for m in members], "train", torch.arange(8)[None])  # type: ignore[arg-type]
    noise = members[0].objective.noise([("training", m.seed) for m in members], torch.arange(8)[None])
    torch.compiler.reset()  # after eight variants of one function nothing is compiled any more
    compiled = torch.compile(teach_each, backend="eager", fullgraph=True)
    found, expected = (call(template, state, *data, noise, torch.tensor(0.5)) for call in (compiled, teach_each))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.long
def test_a_compiled_stack_is_the_stack(tiny_run: MakeRun) -> None:
    """torch.compile takes half a minute and a C++ compiler on a CPU. One that has left stays in until half are gone."""
    runs = runs_of(tiny_run, 3, steps=12, evaluate_every=4, optimizer="muon")
    curves = []
    for engine in ("eager", "compiled"):
        outcomes = train(members_of(runs), leaving(1), engine=engine)  # type: ignore[arg-type]
        curves.append([[row["training_loss"] for row in one.curve[1:]] for one in outcomes])  # type: ignore[union-attr]
    assert [len(curve) for curve in curves[0]] == [3, 3, 3]
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_batch_that_is_split_has_the_same_gradients(objective: Any, tiny_run: MakeRun) -> None:
    """When memory runs out, at 3 examples at a time and more; the batch of 8 does not split evenly."""
    runs = runs_of(tiny_run, 2, objective=objective, steps=3, clip=0.5)
    found = {}
    for room in (8, 3):
        members = members_of(runs, torch.float64)
        take = step_of(members)
        teach = take.teach

        def tight(*given: Any, room: int = room, teach: Any = teach) -> Any:
            if given[2].shape[1] > room:
                raise torch.OutOfMemoryError("no room")
            return teach(*given)

        take.teach = tight
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            losses = [take(k) for k in range(3)]
        assert take.parts == (1 if room == 8 else 4)
        found[room] = (*losses, *take.trained)
    for one, other in zip(found[3], found[8], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


# -- the optimisers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_stacked_step_is_the_step_of_each(optimizer: str, clip: float | None, tiny_run: MakeRun) -> None:
    """60 steps in float64: AdamW and Muon on leaves [S, ...] are those of each member alone, to rounding."""
    runs = runs_of(tiny_run, 4, optimizer=optimizer, clip=clip, steps=60, weight_decay=0.1)
    members, solo = members_of(runs, torch.float64), members_of(runs, torch.float64)
    together = step_of(members)
    steps = [Step(m.objective, m.task, m.settings, m.seed) for m in solo]
    for k in range(60):
        together(k)
        for step in steps:
            step(k)
    together.hand_over([0, 1, 2, 3])
    for member, own in zip(members, solo, strict=True):
        assert difference(member, own) < 1e-10


def test_muon_on_stacked_matrices_is_muon_on_each() -> None:
    """At rates of their own; to the last digits of float32."""
    torch.manual_seed(0)
    start, gradients, rates = torch.randn(3, 12, 4), torch.randn(5, 3, 12, 4), torch.tensor([0.01, 0.02, 0.04])
    together = nn.Parameter(start.clone())
    optimizer = Muon([together], lr=rates[:, None, None], weight_decay=0.1)
    for gradient in gradients:
        together.grad = gradient.clone()
        optimizer.step()
    for i, rate in enumerate(rates.tolist()):
        one = nn.Parameter(start[i].clone())
        own = Muon([one], lr=rate, weight_decay=0.1)
        for gradient in gradients:
            one.grad = gradient[i].clone()
            own.step()
        torch.testing.assert_close(together[i].detach(), one.detach(), rtol=1e-4, atol=1e-6)


# -- the data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question_first", [False, True])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_each_member_sees_its_own_examples_to_the_bit(split: Any, question_first: bool) -> None:
    tasks = [PathStar(3, 4, 30, seed=seed, question_first=question_first) for seed in (0, 7, 2**40)]
    own = torch.stack([torch.arange(5), torch.arange(5) * 1000, torch.tensor([2**32 - 1, 3, 3, 0, 9])])
    for indices in (own, own[:1]):
        found = PathStar.sample_each(tasks, split, indices)
        plain = Task.sample_each.__func__(PathStar, tasks, split, indices)  # type: ignore[attr-defined]
        assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))
        assert found[0].shape == (3, 5, tasks[0].prompt_length)


def test_numbers_for_several_keys_are_those_of_each() -> None:
    keys: Any = [("a", 1), ("a", 2), ("b", 1)]
    indices, bounds = torch.arange(12).view(3, 4), [2**24, 10, 3]
    together = integers(keys, indices, bounds)
    assert together.shape == (3, 3, 4)
    for i, key in enumerate(keys):
        assert torch.equal(together[:, i], integers(key, indices[i], bounds))


@pytest.mark.parametrize(("examples", "repeated"), [(None, 1), (7, 1), (20, 1), (20, 0.5)])
def test_each_member_walks_through_its_own_order(examples: int | None, repeated: float) -> None:
    settings = Settings(batch_size=8, train_examples=examples, repeated=repeated)
    for step in range(6):
        rows = training_indices(step, settings, [4, 5, 6]).expand(3, -1)
        for row, seed in zip(rows, (4, 5, 6), strict=True):
            assert torch.equal(row, training_indices(step, settings, seed))


# -- the measures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [*OBJECTIVES, *REMEDIES], ids=str)
def test_the_measures_of_all_are_the_measures_of_each(
    objective: Any, tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces of members and of examples, too. The weights are large, so that answers differ."""
    monkeypatch.setitem(measures.ROWS_AT_ONCE, "cpu", 2 * 32)
    members = members_of(runs_of(tiny_run, 3, objective=objective), torch.float64)
    with torch.no_grad():
        for member in members:
            for parameter in member.objective.parameters():
                parameter.mul_(4)
    objectives = [member.objective for member in members]
    found = evaluate_each(
        Template(objectives[0]), stack(objectives), [m.task for m in members], "test", 75, batch_size=32
    )
    for member, one in zip(members, found, strict=True):
        expected = evaluate(member.objective, member.task, "test", 75)
        assert one.keys() == expected.keys()
        for name, value in expected.items():
            assert one[name] == pytest.approx(value, rel=1e-9, nan_ok=True), name
    assert len({json.dumps(one) for one in found}) == 3


def test_there_must_be_something_to_measure(tiny_run: MakeRun) -> None:
    (member,) = members_of([tiny_run()])
    with pytest.raises(LookaheadError, match="the number of examples to measure on must be at least 1, not 0"):
        evaluate_each(Template(member.objective), stack([member.objective]), [member.task], "test", 0)


# -- members that leave --------------------------------------------------------------------------------------


def leaving(*numbers: int) -> Any:
    """A measure by which these members, by the seed of their task, have reached their goal at step 4."""
    seeds, calls = [3 * number for number in numbers], iter(range(1000))

    def measure(step: Step, rows: list[int]) -> list[dict[str, Any]]:
        call = next(calls)
        return [{"autoregressive_accuracy": float(call > 0 and step.tasks[row].seed in seeds)} for row in rows]

    return measure


def test_a_member_that_has_reached_its_goal_leaves_and_the_others_go_on(tiny_run: MakeRun) -> None:
    """What it leaves with is what its own run stops with, and it is told at once."""
    runs = runs_of(tiny_run, 3, steps=12, evaluate_every=4, stop_at=0.5, optimizer="muon", clip=0.5)
    together, solo = (members_of(runs, torch.float64) for _ in range(2))
    told: list[Any] = []

    def finished(numbers: list[int], done: list[Trained], step: Step, rows: list[int]) -> None:
        told.append((numbers, [one.steps for one in done], len(rows)))

    outcomes = train(together, leaving(1), finished=finished)
    assert told == [([1], [4], 1), ([0, 2], [12, 12], 2)]
    assert [(one.steps, one.stopped_early) for one in outcomes] == [(12, False), (4, True), (12, False)]  # type: ignore[union-attr]
    for i, own in enumerate(solo):
        calls = iter(range(100))

        def measure(objective: Objective, i: int = i, calls: Any = calls) -> dict[str, Any]:
            return {"autoregressive_accuracy": float(next(calls) > 0 and i == 1)}

        train_one(own.objective, own.task, own.settings, measure, seed=own.seed)
        assert difference(together[i], own) < 1e-9


class Fragile(TeacherForcing):
    """A loss that is no number from the middle of the training on, in the members whose buffer says so."""

    name = "fragile"

    def __init__(self, model: Any, task: Any) -> None:
        super().__init__(model, task)
        self.register_buffer("breaks", torch.zeros(()))

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        loss = super().forward(prompts, answers)
        if progress is not None:
            loss.total = torch.where((progress > 0.5) & (self.breaks > 0), torch.nan, loss.total)  # type: ignore[operator]
        return loss


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """These two are objectives in this file alone."""
    for kind in (Noisy, Fragile):
        monkeypatch.setitem(Objective.known, kind.name, kind)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_member_whose_loss_is_no_number_leaves_alone(clip: float | None, tiny_run: MakeRun, tmp_path: Path) -> None:
    """Its last checkpoint stays; the others end as if it had never been there."""
    runs = runs_of(tiny_run, 3, objective="fragile", steps=12, evaluate_every=6, clip=clip)
    together, solo = members_of(runs, torch.float64, tmp_path), members_of(runs, torch.float64)
    for member in together:
        member.objective.breaks.fill_(member.seed == 3)  # type: ignore[operator, union-attr]
    outcomes = train(together, leaving(), checkpoint_every=4)
    assert isinstance(outcomes[1], NonFiniteLoss)
    assert "the loss of step 7 is nan: lower the learning rate" in str(outcomes[1])
    tensors, record = together[1].checkpoints.take_up(lambda *found: found)  # type: ignore[union-attr, misc]
    assert record["steps"] == 4
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    for i in (0, 2):
        alone(solo[i])
        assert difference(together[i], solo[i]) < 1e-9


def test_a_weight_that_is_no_number_is_never_saved(tiny_run: MakeRun, tmp_path: Path) -> None:
    runs = runs_of(tiny_run, 2, steps=6)
    members = members_of(runs, folder=tmp_path)
    with torch.no_grad():
        members[1].objective.model.final_norm.bias[0] = math.inf  # type: ignore[union-attr, index]
    outcomes = train(members, leaving(), checkpoint_every=1)
    assert isinstance(outcomes[0], Trained)
    assert isinstance(outcomes[1], NonFiniteLoss)
    assert members[1].checkpoints.take_up(lambda *found: found) is None  # type: ignore[union-attr]


# -- stopped and gone on -------------------------------------------------------------------------------------


def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch, kind: type[Step] = StackedStep) -> None:
    """Ctrl-C in the step of that number, from the next one on."""
    take, calls = kind.__call__, iter(range(1, 10_000))

    def interrupted(self: Step, step: int) -> Tensor:
        if next(calls) == steps:
            signal.raise_signal(signal.SIGINT)
        return take(self, step)

    monkeypatch.setattr(kind, "__call__", interrupted)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stack_goes_on_from_solo_checkpoints_and_the_other_way_round(
    optimizer: str, tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone to step 7, together to 13, alone to the end: as undisturbed, the curve too."""
    runs = runs_of(tiny_run, 3, steps=20, evaluate_every=5, optimizer=optimizer, train_examples=37, clip=0.5)
    undisturbed = members_of(runs, torch.float64)
    expected = [alone(member) for member in undisturbed]
    for member in members_of(runs, torch.float64, tmp_path):
        with monkeypatch.context() as patch:
            stopped_after(7, patch, Step)
            with pytest.raises(Interrupted, match="stopped after step 7 of 20"):
                alone(member)
    with monkeypatch.context() as patch:
        stopped_after(6, patch)
        with pytest.raises(Interrupted, match="stopped after step 13 of 20"):
            train(members_of(runs, torch.float64, tmp_path), judged)
    last = members_of(runs, torch.float64, tmp_path)
    for i, member in enumerate(last):
        found = alone(member)
        assert difference(member, undisturbed[i]) < 1e-8
        assert_same_curve(found.curve, expected[i].curve, 1e-8)


def test_a_checkpoint_of_a_stack_is_the_checkpoint_of_a_solo_run(tiny_run: MakeRun, tmp_path: Path) -> None:
    """The same names, shapes, kinds and record, and in float64 the same numbers."""
    runs = runs_of(tiny_run, 2, steps=6, evaluate_every=4, optimizer="muon")
    for name in ("stack", "solo"):
        members = members_of(runs, torch.float64, tmp_path / name)
        if name == "stack":
            train(members, judged, checkpoint_every=5)
        else:
            for member in members:
                alone(member, checkpoint_every=5)
    for run in runs:
        (tensors, record), (own, told) = (
            load(tmp_path / name / run.id / "checkpoint.safetensors") for name in ("stack", "solo")
        )
        assert record.keys() == told.keys()
        assert (record["steps"], len(record["losses"]), len(record["curve"])) == (5, 1, 2)
        assert {k: (v.shape, v.dtype) for k, v in tensors.items()} == {k: (v.shape, v.dtype) for k, v in own.items()}
        for key in own:
            torch.testing.assert_close(tensors[key], own[key], rtol=1e-8, atol=1e-10)


def test_members_at_different_steps_are_trained_in_groups(tiny_run: MakeRun, tmp_path: Path) -> None:
    """One has a checkpoint, one is done but for its result, one begins, and one has a checkpoint that is torn."""
    runs = runs_of(tiny_run, 4, steps=12, evaluate_every=4)
    undisturbed = members_of(runs, torch.float64)
    for member in undisturbed:
        alone(member)
    started = members_of(runs, torch.float64, tmp_path)
    for member, every in zip(started, (5, 12, None, 5), strict=True):
        if every is not None:
            alone(member, checkpoint_every=every)
            member.checkpoints.previous.unlink(missing_ok=True)  # type: ignore[union-attr]
    torn = started[3].checkpoints.latest  # type: ignore[union-attr]
    torn.write_bytes(torn.read_bytes()[:100])
    members, told = members_of(runs, torch.float64, tmp_path), []
    with pytest.warns(UserWarning, match=f"run {runs[3].id} was interrupted, and .* starts anew"):
        train(members, judged, finished=lambda numbers, done, *_: told.append((numbers, [one.members for one in done])))
    assert told == [([2, 3], [2, 2]), ([0], [1]), ([1], [1])]
    for i in range(4):
        assert difference(members[i], undisturbed[i]) < 1e-9


def test_a_stack_stops_before_its_deadline_and_goes_on(tiny_run: MakeRun, tmp_path: Path) -> None:
    runs = runs_of(tiny_run, 2, steps=60, evaluate_every=20)
    undisturbed = members_of(runs, torch.float64)
    for member in undisturbed:
        alone(member)
    sittings = []
    while True:
        members = members_of(runs, torch.float64, tmp_path)
        try:
            train(members, judged, deadline=time.monotonic() + 0.1)
            break
        except OutOfTime as out:
            sittings.append(out.steps)
    assert len(sittings) >= 1
    assert min(sittings) >= 1
    assert sum(sittings) < 60
    for one, own in zip(members, undisturbed, strict=True):
        assert difference(one, own) < 1e-8


def test_what_is_killed_loses_what_came_after_its_checkpoint_alone(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_of(tiny_run, 2, steps=12, evaluate_every=6, optimizer="muon")
    undisturbed = members_of(runs, torch.float64)
    for member in undisturbed:
        alone(member)
    update, steps = StackedStep.update, iter(range(100))

    def dies(self: StackedStep, *inputs: Tensor) -> Tensor:
        if next(steps) == 9:
            raise MemoryError
        return update(self, *inputs)

    monkeypatch.setattr(StackedStep, "update", dies)
    with pytest.raises(MemoryError):
        train(members_of(runs, torch.float64, tmp_path), judged, checkpoint_every=4)
    members = members_of(runs, torch.float64, tmp_path)
    train(members, judged)
    assert next(steps) == 9 + 1 + 4, "on from step 8"
    for one, own in zip(members, undisturbed, strict=True):
        assert difference(one, own) < 1e-8


def test_checkpoints_come_by_the_clock(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookahead.training.sitting.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    members, saved = members_of(runs_of(tiny_run, 2, steps=4), folder=tmp_path), []
    for member in members:
        monkeypatch.setattr(member.checkpoints, "save", lambda tensors, record: saved.append(record["steps"]))
    train(members, judged)
    assert saved == [1, 1, 2, 2, 3, 3, 4, 4]


# -- who may be stacked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 9}, r"members 0 and 1 differ in batch_size \(8 and 9\): those that are trained as one may"),
        ({"objective": "reversed"}, "differ in objective"),
        ({"model": "tiny"}, "differ in model"),
        ({"steps": 7}, "differ in steps"),
        ({"clip": None}, "differ in clip"),
    ],
)
def test_members_that_differ_in_more_are_refused(
    fields: dict[str, Any], message: str, tiny_run: MakeRun, store: Path
) -> None:
    runs = [tiny_run(), tiny_run(seed=1, **fields)]
    with pytest.raises(LookaheadError, match=message):
        train(members_of(runs), judged)
    with pytest.raises(LookaheadError, match=message):
        run_all(runs, device="cpu")


def test_weights_of_other_shapes_are_refused(tiny_run: MakeRun) -> None:
    one, other = members_of([tiny_run(), tiny_run(model={"name": "transformer", "layers": 1, "width": 8, "heads": 2})])
    with pytest.raises(LookaheadError, match="member 1 has other weights than member 0"):
        stack([one.objective, other.objective])


@pytest.mark.parametrize("model", ["mamba-tiny", "mamba2-tiny"])
def test_members_that_cannot_be_stacked_are_trained_one_after_another(model: str, tiny_run: MakeRun) -> None:
    members = members_of([tiny_run(model=model, seed=seed) for seed in range(2)])
    with pytest.raises(LookaheadError, match=r"a mamba2? cannot be trained many at once: .* one after another"):
        stack([member.objective for member in members])
    solo = members_of([member.settings for member in members])  # type: ignore[misc]
    for member, own, outcome in zip(members, solo, train(members, judged), strict=True):
        alone(own)
        assert isinstance(outcome, Trained)
        assert (outcome.members, difference(member, own)) == (1, 0)


def test_nobody_is_soon_done() -> None:
    assert train([], judged) == []
    assert run_all([]) == []


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_replays_of_all_are_the_replays_of_each(optimizer: str, tiny_run: MakeRun) -> None:
    runs = runs_of(tiny_run, 3, optimizer=optimizer, objective=DECISION_ALONE)
    for found, alone in zip(replay(runs, stacked=True, at_once=2), replay(runs), strict=True):
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        assert (found["stacked"], alone["stacked"]) == (True, False)


# -- the harness ---------------------------------------------------------------------------------------------


def test_results_of_a_stack_are_results(tiny_run: MakeRun, store: Path) -> None:
    """Stored, found again by `run`, with weights; the manifest says how many there were."""
    runs = runs_of(tiny_run, 3, steps=20, evaluate_every=10)
    results = run_all(runs, device="cpu", probe=lambda objective, task: {"seed seen": task.seed})
    again = run_all([*runs, runs[0]], device="cpu")
    for run, result, found in zip([*runs, runs[0]], [*results, results[0]], again, strict=True):
        assert isinstance(result, Result)
        assert result.run == run
        assert result.manifest["stacked"] == 3
        assert result.manifest["steps"] == 20
        assert [row["seed seen"] for row in result.curve] == [run.seed] * 3
        assert isinstance(found, Result)
        assert json.dumps(found.to_dict()) == json.dumps(result.to_dict())
        assert harness.run(run, device="cpu").manifest["finished"] == result.manifest["finished"]
        task, objective = trained(run)
        assert evaluate(objective, task, "test", 128)["loss"] == pytest.approx(result.measures["loss"], rel=1e-4)
        assert not list((store / "runs" / run.id).glob("checkpoint*"))


def test_a_result_is_stored_as_soon_as_its_member_has_finished(
    tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then Ctrl-C comes; the others go on at the next call, and one that somebody else does is left to them."""
    runs = runs_of(tiny_run, 3, steps=12, evaluate_every=4, stop_at=0.5)
    measure = leaving(1)
    monkeypatch.setattr(
        harness,
        "measure_members",
        lambda step, rows, split, _: (measure if split == "validation" else judged)(step, rows),
    )
    with monkeypatch.context() as patch:
        stopped_after(6, patch)
        with pytest.raises(Interrupted, match="stopped after step 6 of 12"):
            run_all(runs, device="cpu")
    assert [read_result(run) is not None for run in runs] == [False, True, False]
    with FileLock(make_folder(run_folder(runs[2].id)) / ".lock"):
        first, second, third = run_all(runs, device="cpu")
    assert isinstance(first, Result)
    assert "stacked" not in first.manifest
    assert isinstance(second, Result)
    assert second.manifest["steps"] == 4
    assert isinstance(third, Busy)


def test_one_that_cannot_be_stored_or_begun_does_not_stop_the_others(
    tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [*runs_of(tiny_run, 2), tiny_run(start_from="0123456789ab")]
    write = harness.write_result

    def refused(result: Result, objective: Objective) -> None:
        if result.run == runs[0]:
            raise LookaheadError("the disk is full")
        write(result, objective)

    monkeypatch.setattr(harness, "write_result", refused)
    first, second, third = run_all(runs, device="cpu")
    assert str(first) == "the disk is full"
    assert isinstance(second, Result)
    assert "no weights of run 0123456789ab" in str(third)
