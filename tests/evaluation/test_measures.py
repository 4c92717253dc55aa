"""Every measure, on answerers whose values are known beforehand."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lookahead
from lookahead.contracts import Loss, Needs, Objective, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.evaluation import evaluate, evaluate_each, evaluate_on, gradient_signal, measures, proportion
from lookahead.objectives import TeacherForcing
from lookahead.stack import Template, stack
from lookahead.tasks import PathStar
from registered import OBJECTIVES

Build = Callable[..., tuple[Task, Objective]]


class Stub(Objective):
    """Answers by a rule; a parameter, so that it lies on a device."""

    def __init__(self, task: PathStar) -> None:
        super().__init__(torch.nn.Linear(1, 1), task)  # type: ignore[arg-type]
        self.task = task

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=1)

    def path(self, prompts: Tensor, arm: Tensor) -> Tensor:
        """Start and the arm of that number of each graph, in the order of `PathStar.arms`."""
        arms = self.task.arms(prompts)
        chosen = arms[torch.arange(len(prompts)), arm]
        return torch.cat([prompts[:, -3:-2], chosen], dim=1)

    def teach(self, answers: Tensor, predictions: Tensor) -> Loss:
        return Loss(torch.zeros(()), (predictions != answers).float() * 2, predictions)

    def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
        return self.teach(answers, self.answer(prompts))


class Solver(Stub):
    """Always right; put on a wrong arm it still ends at the goal."""

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        path = self.path(prompts, torch.zeros(len(prompts), dtype=torch.long))
        if given is not None:
            path[:, : given.shape[1]] = given
        return path


class Cheat(Stub):
    """Takes any arm (by a hash of the prompt) and follows it; with a teacher it is right but for that choice."""

    def guess(self, prompts: Tensor) -> Tensor:
        return (prompts * torch.arange(1, prompts.shape[1] + 1) ** 2).sum(dim=1) * 7919 % 10_007 % self.task.degree

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        if given is None or given.shape[1] < 2:
            return self.path(prompts, self.guess(prompts))
        on_it = (self.task.arms(prompts)[:, :, 0] == given[:, 1:2]).int().argmax(dim=1)
        return self.path(prompts, on_it)

    def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
        predictions = answers.clone()
        predictions[:, 1] = self.answer(prompts)[:, 1]
        return self.teach(answers, predictions)


class Blind(Stub):
    """Labels at random, the start among them; cannot go on from anything."""

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        if given is not None:
            raise CannotContinue("blind")
        generator = torch.Generator().manual_seed(int(prompts.sum()))
        return torch.randint(self.task.num_nodes, (len(prompts), self.answer_length), generator=generator)

    def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
        loss = super().forward(prompts, answers)
        loss.tokens[:, 2:] = math.nan
        return loss


def flat(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


# -- known values --------------------------------------------------------------------------------------------


def test_a_perfect_solver() -> None:
    task = PathStar(3, 4, 12)
    found = evaluate(Solver(task), task, "test", 500, batch_size=128)
    for name in ("autoregressive_accuracy", "teacher_forced_accuracy", "decision_accuracy"):
        assert found[name] == 1
    for name in ("autoregressive_token_accuracy", "teacher_forced_token_accuracy"):
        assert found[name] == [1] * 4
    assert found["cheat_accuracy"] == 0  # a solver does not finish a wrong arm
    assert found["loss"] == [0] * 4
    assert found["examples"] == 500


@pytest.mark.parametrize("degree", [2, 5])
def test_a_cheat_succeeds_in_one_of_d(degree: int) -> None:
    """Everything right with a teacher but the decision, 1/d of the answers without, every arm finished."""
    task = PathStar(degree, 4, 40)
    found = evaluate(Cheat(task), task, "test", 3000)
    # four standard errors: a right cheat fails this once in 16,000 times, and the examples are fixed
    chance = proportion(1 / degree, 3000, z=4)
    assert found["autoregressive_accuracy"] in chance
    assert found["decision_accuracy"] == found["teacher_forced_accuracy"] == found["autoregressive_accuracy"]
    forced = flat(found["teacher_forced_token_accuracy"])
    assert forced == [1, found["decision_accuracy"], 1, 1]
    assert found["autoregressive_token_accuracy"] == [1, *[found["autoregressive_accuracy"]] * 3]
    assert found["cheat_accuracy"] == 1
    assert found["loss"] == pytest.approx([0, 2 * (1 - forced[1]), 0, 0])


def test_a_blind_one() -> None:
    task = PathStar(2, 4, 10)
    found = evaluate(Blind(task), task, "test", 4000)
    for share in flat(found["autoregressive_token_accuracy"]):
        assert share in proportion(0.1, 4000, z=4)
    assert found["autoregressive_accuracy"] < 0.002
    assert math.isnan(found["cheat_accuracy"])  # type: ignore[arg-type]
    loss = flat(found["loss"])
    assert [math.isnan(value) for value in loss] == [False, False, True, True]
    assert loss[0] == pytest.approx(2 * (1 - flat(found["teacher_forced_token_accuracy"])[0]))


def test_half_of_the_wrong_arms_finished_counts_half() -> None:
    """And an arm counts only if it is finished to its last node."""

    class Tired(Cheat):
        def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
            answers = super().answer(prompts, given)
            if given is not None:
                answers[::2, -1] = answers[::2, 0]
            return answers

    task = PathStar(2, 4, 10)
    assert evaluate(Tired(task), task, "test", 100)["cheat_accuracy"] == 0.5


def test_who_returns_to_the_right_arm_is_seen() -> None:
    """Forced onto a wrong arm, it writes the right one's nodes: from the goal, say."""

    class Returning(Solver):
        def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
            answers = super().answer(prompts)
            if given is not None:
                answers[:, : given.shape[1]] = given
            return answers

    found = evaluate(Returning(PathStar(2, 5, 10)), PathStar(2, 5, 10), "test", 100)
    assert found["return_token_accuracy"] == [1, 0, 1, 1, 1]
    assert found["cheat_token_accuracy"] == [1, 1, 0, 0, 0]
    found = evaluate(Cheat(PathStar(2, 5, 10)), PathStar(2, 5, 10), "test", 100)
    assert found["return_token_accuracy"] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("method", OBJECTIVES.values(), ids=OBJECTIVES)
def test_measures_do_not_depend_on_the_batch(method: Any, build: Build) -> None:
    task, objective = build(method)
    whole = evaluate(objective, task, "validation", 150)
    for batch_size in (64, 149, 150, 4096):
        parts = evaluate(objective, task, "validation", 150, batch_size)
        assert parts.keys() == whole.keys()
        for name, value in parts.items():
            found, expected = ([*one.values()] if name == "parts" else flat(one) for one in (value, whole[name]))
            assert found == pytest.approx(expected, rel=1e-6, nan_ok=True), name


def test_the_first_examples_of_the_named_split_are_measured() -> None:
    seen = []

    class Watching(Solver):
        def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
            seen.append(prompts)
            return super().forward(prompts, answers)

    task = PathStar(2, 4, 10)
    evaluate(Watching(task), task, "test", 25, batch_size=10)
    assert [len(prompts) for prompts in seen] == [10, 10, 5]
    assert torch.equal(torch.cat(seen), task.sample("test", torch.arange(25))[0])


class Roomy(Solver):
    """Runs out of memory at more than `room` examples, and notes how many it gets."""

    room = 8

    def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
        self.seen: list[int] = [*getattr(self, "seen", []), len(prompts)]
        if len(prompts) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().forward(prompts, answers)


def test_where_memory_runs_out_fewer_are_measured_at_a_time() -> None:
    """From where it ran out, every example once."""
    task = PathStar(2, 4, 10)
    roomy = Roomy(task)
    with pytest.warns(UserWarning, match=r"the GPU ran out of memory: (15|7) examples are measured at a time now"):
        found = evaluate(roomy, task, "test", 50, batch_size=30)
    assert roomy.seen == [30, 15, *[7] * 7, 1]
    assert found == evaluate(Solver(task), task, "test", 50)
    roomy.room = 0
    with (
        pytest.warns(UserWarning, match="ran out of memory"),
        pytest.raises(LookaheadError, match="no memory to measure one example: a smaller model or a larger GPU"),
    ):
        evaluate(roomy, task, "test", 50)


def test_on_a_gpu_a_few_examples_tell_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an example takes 10 MB, the first ones more."""
    pieces: list[int] = []

    def with_peak(work: Callable[[], Any], device: torch.device) -> tuple[Any, int]:
        first, last = work()
        pieces.append(last - first)
        return (first, last), 10_000_000 * (last - first) + (2**28 if first == 0 else 0)

    monkeypatch.setattr(measures, "with_peak", with_peak)
    gpu, work = torch.device("cuda"), lambda first, last: (first, last)
    found = list(measures.in_pieces(work, 4096, 8192, 1, gpu))
    assert [first for first, _ in found] == [0, *[last for _, last in found[:-1]]]
    assert found[-1][1] == 4096
    assert pieces[:3] == [64, 302, 429]
    assert max(pieces) * 10_000_000 <= 2**32
    pieces.clear()
    list(measures.in_pieces(work, 100, 50, 16, gpu))
    assert pieces == [4, 50, 46], "of 16 members together 64, then no more than is wanted"


def test_measuring_changes_nothing(build: Build) -> None:
    task, objective = build("reversed")
    objective(*task.sample("train", torch.arange(4))).total.backward()
    before = [(p.detach().clone(), p.grad.clone()) for p in objective.parameters()]  # type: ignore[union-attr]
    evaluate(objective, task, "test", 20)
    gradient_signal(objective, task, "test", 20)
    for parameter, (value, grad) in zip(objective.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert torch.equal(parameter.grad, grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [PathStar(2, 3, 12), PathStar(2, 4, 10), PathStar(3, 3, 10)])
def test_a_task_that_the_network_was_not_made_for_is_refused(build: Build, other: PathStar) -> None:
    """With another number of labels the marks have other ids: each would be taken for another."""
    task, objective = build()
    assert task == PathStar(2, 3, 10)
    for measure in (evaluate, gradient_signal):
        with pytest.raises(
            LookaheadError, match=rf"made for a task of 13 ids, prompts of 15 .*; {re.escape(other.title)}"
        ):
            measure(objective, other, "test", 4)


def test_nothing_to_measure_on_is_refused(build: Build) -> None:
    task, objective = build()
    with pytest.raises(LookaheadError, match="the number of examples to measure on must be at least 1, not 0"):
        evaluate(objective, task, "test", 0)
    with pytest.raises(LookaheadError, match=r"must be a whole number, not 2\.5"):
        evaluate(objective, task, "test", 2.5)  # type: ignore[arg-type]
    with pytest.raises(LookaheadError, match="cannot halve 1 examples"):
        gradient_signal(objective, task, "test", 1)


AGAIN = (
    "masked",
    "any_order",
    "register_tokens",
    "lookahead_tokens",
    "latent_lookahead",
    "latent_tokens",
    "policy_gradient",
    "value_guided",
)
"""Those that are measured on what they draw and as they answer, in passes of their own, or read the prompt anew."""
READ_ONCE = {
    name: spec for name, spec in OBJECTIVES.items() if spec.get("depth") != "block" and spec["name"] not in AGAIN
}
"""A head that is a block looks at the whole prompt, each time."""


@pytest.mark.parametrize("method", READ_ONCE.values(), ids=READ_ONCE)
def test_a_prompt_is_read_once(method: Any, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """And behind it at most the rest of a sequence, three times, once more where a model is shown its own tokens or the
    answer is encoded: in pieces that suit the device."""
    task, objective = build(method)
    read: list[tuple[int, int]] = []

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(tokens: Tensor, *rest: Any, **more: Any) -> Any:
            read.append((tokens.shape[0], tokens.shape[1]))
            return function(tokens, *rest, **more)

        return counted

    monkeypatch.setattr(objective.model, "forward", counting(objective.model.forward))
    monkeypatch.setattr(objective.model, "decode", counting(objective.model.decode))
    monkeypatch.setitem(measures.ROWS_AT_ONCE, "cpu", 32)
    evaluate(objective, task, "test", 50)
    prompts = [(rows, length) for rows, length in read if length >= task.prompt_length]
    assert [rows for rows, _ in prompts] == [32, 18]
    times = 3 + (method.get("how") == "sample" or method["name"] == "planning_tokens")
    behind = objective.model.longest - task.prompt_length
    assert sum(rows * length for rows, length in read) <= 50 * (task.prompt_length + times * behind)


# -- the parts of a loss --------------------------------------------------------------------------------------


@pytest.fixture
def in_parts() -> Iterator[None]:
    """An objective whose total is a sum of two parts. The names are those of measures, to see that nothing is mixed."""

    class InParts(TeacherForcing, name="in_parts"):
        def forward(self, prompts: Tensor, answers: Tensor, noise: Any = None, progress: Any = None) -> Loss:
            loss = super().forward(prompts, answers)
            size = loss.tokens.square().mean()
            return Loss(loss.total + size, loss.tokens, loss.predictions, {"loss": loss.total, "led": size})

    yield
    del Objective.known["in_parts"]


def test_the_parts_of_the_loss_are_averaged_over_the_examples(in_parts: None, build: Build) -> None:
    """In batches of different sizes, too; what has no parts has no such measure."""
    task, objective = build("in_parts")
    whole = objective(*task.sample("test", torch.arange(50)))
    expected = {name: value.item() for name, value in whole.parts.items()}
    for batch_size in (50, 32, 7):
        found = evaluate(objective, task, "test", 50, batch_size)
        assert found["parts"] == pytest.approx(expected, rel=1e-6)
        assert found["loss"] == pytest.approx(whole.tokens.mean(dim=0).tolist(), rel=1e-6)
    task, plain = build("teacher_forcing")
    assert "parts" not in evaluate(plain, task, "test", 50)


def test_members_have_parts_of_their_own(in_parts: None, build: Build) -> None:
    built = [build("in_parts", seed=seed) for seed in (0, 1, 2)]
    tasks, objectives = zip(*built, strict=True)
    together = evaluate_each(Template(objectives[0]), stack(objectives), tasks, "test", 50, 32)
    for found, (task, objective) in zip(together, built, strict=True):
        assert found["parts"] == pytest.approx(evaluate(objective, task, "test", 50)["parts"], rel=1e-6)
    assert len({found["parts"]["led"] for found in together}) == 3


def test_the_learning_curve_stores_the_parts(in_parts: None, tiny_run: Callable[..., Any], store: Any) -> None:
    config = tiny_run(objective="in_parts")
    lookahead.run(config)
    result = lookahead.run(config)  # as it is stored
    assert len(result.curve) == 3
    for row in (*result.curve, result.measures):
        assert set(row["parts"]) == {"loss", "led"}
        assert row["parts"]["loss"] == pytest.approx(sum(row["loss"]) / len(row["loss"]), rel=1e-5)


# -- intervals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(successes: int, n: int, low: float, high: float) -> None:
    found = proportion(successes / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)
    assert found.value == successes / n
    assert found.value in found
    assert high + 0.01 not in found
    assert proportion(1 - successes / n, n).low == pytest.approx(1 - found.high, abs=1e-12)


def test_an_interval_is_printed_shortly() -> None:
    assert str(proportion(0.5, 10)) == "0.500 [0.237, 0.763]"


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (1.1, 10), (-0.1, 10), (math.nan, 10)])
def test_a_share_of_nothing_is_refused(share: float, n: int) -> None:
    with pytest.raises(LookaheadError, match="a share in \\[0, 1\\] of at least one trial"):
        proportion(share, n)


# -- gradients -----------------------------------------------------------------------------------------------


def gradient_by_hand(objective: Objective, task: Task, first: int, count: int, position: int) -> Tensor:
    prompts, answers = task.sample("train", torch.arange(first, first + count))
    objective.zero_grad()
    objective(prompts, answers).tokens[:, position].mean().backward()
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in objective.parameters()]
    ).double()


@pytest.mark.parametrize("method", ["teacher_forcing", "reversed", "teacherless"])
def test_gradient_signal_by_hand(method: str, build: Build) -> None:
    task, objective = build(method)
    found = gradient_signal(objective, task, "train", 40)
    g = [gradient_by_hand(objective, task, 0, 20, position) for position in range(3)]
    h = [gradient_by_hand(objective, task, 20, 20, position) for position in range(3)]
    for position in range(3):
        signal = (g[position] @ h[position]).item()
        size = ((g[position] @ g[position] + h[position] @ h[position]) / 2).item()
        helps = ((g[position] @ h[task.decision] + h[position] @ g[task.decision]) / 2).item()
        assert found["signal"][position] == pytest.approx(signal, rel=1e-6)
        assert found["noise"][position] == pytest.approx(size - signal, rel=1e-6)
        assert found["help"][position] == pytest.approx(helps, rel=1e-6)
    assert found["help"][task.decision] == pytest.approx(found["signal"][task.decision])


def test_the_signal_is_what_a_large_batch_agrees_on(build: Build) -> None:
    """Its mean over many halves is the squared gradient of all the examples, within four standard errors."""
    task, objective = build()
    halves = torch.stack([gradient_by_hand(objective, task, 8 * k, 8, 1) for k in range(120)])
    products = (halves[::2] * halves[1::2]).sum(dim=1)
    everything = halves.mean(dim=0)
    # the square of a mean of m noisy gradients is too large by noise / m: taken off
    unbiased = everything @ everything - (halves - everything).square().sum() / (120 * 119)
    error = products.std() / math.sqrt(60)
    assert abs(products.mean() - unbiased) < 4 * error
    assert unbiased > 4 * error, "too much noise for a check that could fail"


def test_where_nothing_is_taught_there_is_no_signal(build: Build) -> None:
    task, objective = build({"name": "hints", "taught": "decision"})
    found = gradient_signal(objective, task, "train", 16)
    for values in found.values():
        assert [math.isnan(value) for value in values] == [True, False, True]


def test_given_examples_are_measured_as_those_of_a_split() -> None:
    task = PathStar(2, 4, 10)
    objective = Cheat(task)
    examples = task.sample("test", torch.arange(300))
    given = evaluate_on(objective, task, *examples, batch_size=128)
    drawn = evaluate(objective, task, "test", 300)
    assert repr(given) == repr(drawn)  # NaN where it is NaN


def test_a_file_of_another_vocabulary_is_refused_and_never_misread(tmp_path: Path) -> None:
    """One line without the label 49: what is guessed from it has 48 labels, and `|` would be a label of the model."""
    task = PathStar(2, 5, 50)
    prompts, answers = (rows[None] for rows in next(_without_the_last_labels(task)))
    task.write(tmp_path / "one.txt", prompts, answers)
    with pytest.warns(UserWarning, match="num_nodes is not given"):
        guessed, *misread = PathStar.read(tmp_path / "one.txt")
    assert guessed.num_nodes < task.num_nodes
    solver = Solver(task)
    assert evaluate_on(solver, *PathStar.read(tmp_path / "one.txt", 50))["autoregressive_accuracy"] == 1
    with pytest.raises(LookaheadError, match="made for a task of 53 ids"):
        evaluate_on(solver, guessed, *misread)
    with pytest.raises(LookaheadError, match=r"row 0 is no example of G\(2,5\)"):
        evaluate_on(solver, task, *misread)
    with pytest.raises(LookaheadError, match=r"are examples of G\(2,5\)"):
        evaluate_on(solver, task, prompts, answers[:, 1:])


def _without_the_last_labels(task: PathStar) -> Iterator[tuple[Tensor, Tensor]]:
    """Examples in which the two largest labels do not occur."""
    for prompt, answer in zip(*task.sample("test", torch.arange(400)), strict=True):
        if not ((prompt == task.num_nodes - 1) | (prompt == task.num_nodes - 2)).any():
            yield prompt, answer
