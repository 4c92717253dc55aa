"""How a model is taught and how it answers: every method against a naive one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lookahead
from lookahead.contracts import Loss, Model, Needs, Objective, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.evaluation import evaluate
from lookahead.models import Transformer
from lookahead.objectives import Hints, Reversed, TeacherForcing, Teacherless
from lookahead.objectives.sequences import PromptFirst
from lookahead.random import uniforms
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from registered import MODELS, OBJECTIVES, fits, label

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}
OTHERWISE = ("joint_multi_token", "belief_state", "planning_tokens", "lookahead_tokens", "value_guided")
"""Those that answer by more than the model, or behind more than the prompt: their tests say how."""
METHODS = {
    name: spec
    for name, spec in OBJECTIVES.items()
    if issubclass(Objective.named(spec["name"]), PromptFirst) and spec["name"] not in OTHERWISE
}
"""Those whose sequences are a prompt and hints: `inputs` says which. The model alone answers."""
OTHER_TOTALS = ("expected_reward", "policy_gradient", "value_guided")
"""Those whose total is no mean over tokens: their tests say what."""
BY_NOISE = ("corrupted",)
"""Those that read what their noise says: their tests say what."""
FIXED = {name: spec for name, spec in METHODS.items() if spec["name"] not in BY_NOISE}
each_objective = pytest.mark.parametrize("method", OBJECTIVES.values(), ids=OBJECTIVES)
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
each_fixed = pytest.mark.parametrize("method", FIXED.values(), ids=FIXED)
FIRST = {spec["name"]: spec for spec in reversed(OBJECTIVES.values())}
"""Of every objective that with the first of its options."""
READ_ONCE = [
    (model, spec)
    for model in MODELS
    for spec in (OBJECTIVES if model == "tiny" else FIRST).values()
    if fits(model, spec) and Objective.named(spec["name"]).prefill is not Objective.prefill
]
"""Objectives that can go on from a prompt that was read: a Transformer with all their options, others with one each."""
each_read_once = pytest.mark.parametrize(
    ("model", "method"), READ_ONCE, ids=[f"{model}, {label(spec)}" for model, spec in READ_ONCE]
)


def data(task: Task, count: int = 12, split: Any = "train") -> tuple[Tensor, Tensor]:
    return task.sample(split, torch.arange(count))


def noise_for(objective: Objective, answers: Tensor) -> Tensor | None:
    """What an objective that asks for noise gets for these answers."""
    return objective.noise(("a test",), torch.arange(len(answers)))


def inputs(objective: Objective, prompts: Tensor, answers: Tensor) -> Tensor:
    """The sequence that each method is documented to read, [B, P + A - 1], written out anew."""
    dummy = torch.full_like(answers[:, :1], objective.dummy)
    if isinstance(objective, Reversed):
        answers = answers.flip(1)
    columns = [prompts]
    for position in range(answers.shape[1] - 1):
        shown = not isinstance(objective, Teacherless)
        if isinstance(objective, Hints):
            shown = bool(objective.shown[position])
        columns.append(answers[:, position : position + 1] if shown else dummy)
    return torch.cat(columns, dim=1)


def logits_by_hand(objective: Objective, prompts: Tensor, answers: Tensor) -> Tensor:
    """Logits of the answer tokens in the order in which they are predicted, [B, A, V]."""
    sequence = inputs(objective, prompts, answers)
    return objective.model.unembed(objective.model(sequence))[:, prompts.shape[1] - 1 :]


def next_token_total(objective: Objective, loss: Loss) -> Tensor:
    """The total without what the parts add to it, each with the objective's weight."""
    heads = [part for name, part in loss.parts.items() if not name.endswith("right")]
    return loss.total - (objective.weight * sum(heads) if heads else 0)  # type: ignore[operator]


# -- teaching ------------------------------------------------------------------------------------------------


@each_fixed
def test_the_loss_is_the_cross_entropy_of_the_answer_alone(method: Any, build: Build) -> None:
    task, objective = build(method, task=TASK)
    prompts, answers = data(task)
    logits = logits_by_hand(objective, prompts, answers)
    backwards = method["name"] == "reversed"
    targets = answers.flip(1) if backwards else answers
    expected = torch.stack(
        [
            torch.stack([row.exp().sum().log() - row[token] for row, token in zip(rows, tokens, strict=True)])
            for rows, tokens in zip(logits, targets.tolist(), strict=True)
        ]
    )
    predictions = logits.argmax(dim=-1)
    if backwards:
        expected, predictions = expected.flip(1), predictions.flip(1)
    loss = objective(prompts, answers, noise_for(objective, answers))
    only_decision = method.get("taught") == "decision"
    taught = [task.decision] if only_decision else list(range(4))
    assert loss.tokens.shape == (12, 4)
    # cross entropy is taken in float32, whatever the model's precision
    torch.testing.assert_close(loss.tokens[:, taught].double(), expected[:, taught], atol=1e-5, rtol=1e-5)
    assert loss.tokens.isnan().any(dim=0).tolist() == [position not in taught for position in range(4)]
    if objective.name not in OTHER_TOTALS:
        total = next_token_total(objective, loss).double()
        torch.testing.assert_close(total, expected[:, taught].mean(), atol=1e-5, rtol=1e-5)
    assert torch.equal(loss.predictions, predictions)


@each_objective
def test_forward_compiles_in_one_graph_and_changes_nothing(method: Any, build: Build) -> None:
    """Nothing in it waits for the device or depends on what the data hold."""
    task, objective = build(method, task=TASK)
    prompts, answers = data(task)
    noise = noise_for(objective, answers)
    before = [prompts.clone(), answers.clone(), *(p.clone() for p in objective.parameters())]
    eager = objective(prompts, answers, noise, torch.tensor(0.5))
    torch.compiler.reset()  # after eight variants of one function nothing is compiled any more
    compiled = torch.compile(lambda *given: objective(*given).total, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(prompts, answers, noise, torch.tensor(0.5)), eager.total, atol=0, rtol=0)
    progress = torch.tensor(0.5) if method.get("rising") else None
    torch.testing.assert_close(objective(prompts, answers, noise, progress).total, eager.total, atol=0, rtol=0)
    for old, new in zip(before, [prompts, answers, *objective.parameters()], strict=True):
        assert torch.equal(old, new)


def test_both_hints_shown_is_teacher_forcing(build: Build) -> None:
    task, forcing = build("teacher_forcing", task=TASK)
    hints = Hints(forcing.model, task)
    prompts, answers = data(task)
    one, other = forcing(prompts, answers), hints(prompts, answers)
    assert torch.equal(one.total, other.total)
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.predictions, other.predictions)
    assert torch.equal(forcing.answer(prompts), hints.answer(prompts))


def test_no_hint_shown_is_teacherless(build: Build) -> None:
    task, blind = build("teacherless", task=TASK)
    hints = Hints(blind.model, task, start=False, later=False)
    prompts, answers = data(task)
    one, other = blind(prompts, answers), hints(prompts, answers)
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.predictions, other.predictions)
    assert torch.equal(blind.answer(prompts), hints.answer(prompts))  # in one pass, or token by token


@pytest.mark.parametrize("method", FIRST.values(), ids=FIRST)
def test_prompts_of_another_vocabulary_are_not_answered(method: Any, build: Build) -> None:
    """One label more, and the ids of the marks are others."""
    task, objective = build(method, task=TASK)
    prompts, _ = data(task, count=4)
    mixed = torch.cat([prompts, data(PathStar(2, 4, 11), count=1)[0]])
    with pytest.raises(LookaheadError, match="end in id 12; some of these in 13: they are of another vocabulary"):
        objective.answer(mixed)
    assert len(objective.answer(prompts[:0])) == 0


def test_the_same_seed_gives_the_same_weights_to_every_method() -> None:
    """Where their sequences are of one length, and so the model has as many positions."""
    alike: dict[int, list[dict[str, Tensor]]] = {}
    for method in OBJECTIVES.values():
        model = Run(task=TASK, objective=method).build()[1].model
        alike.setdefault(model.longest, []).append(model.state_dict())
    assert sum(len(states) - 1 for states in alike.values()) > 0.8 * len(OBJECTIVES), "most are compared"
    for first, *others in alike.values():
        assert all(torch.equal(tensor, other[name]) for other in others for name, tensor in first.items())


@each_fixed
def test_what_each_loss_depends_on(method: Any, build: Build) -> None:
    """Changes one answer token at a time: it changes its own loss, and later ones only where it is shown."""
    task, objective = build(method, task=TASK)
    prompts, answers = data(task, count=4)
    noise = noise_for(objective, answers)
    before = objective(prompts, answers, noise).tokens
    backwards = method["name"] == "reversed"
    for position in range(4):
        changed = answers.clone()
        changed[:, position] = (changed[:, position] + 1) % 10
        after = objective(prompts, changed, noise).tokens
        for other in range(4):
            if other == position or before[:, other].isnan().any():
                continue
            same = torch.equal(after[:, other], before[:, other])
            last = 0 if backwards else 3  # the last token of the sequence is never read
            read = position != last and bool(
                (inputs(objective, prompts, changed) != inputs(objective, prompts, answers)).any()
            )
            comes_later = other < position if backwards else other > position
            assert same == (not (comes_later and read)), f"token {position} on loss {other}"


def test_teacher_forcing_looks_only_back(build: Build) -> None:
    """Also said by the test above; this one is the textbook's sentence, literally."""
    task, objective = build("teacher_forcing", task=TASK)
    prompts, answers = data(task)
    for position in range(4):
        changed = answers.clone()
        changed[:, position + 1 :] = 0
        assert torch.equal(
            objective(prompts, changed).tokens[:, : position + 1],
            objective(prompts, answers).tokens[:, : position + 1],
        )


def test_teacherless_never_reads_the_answer(build: Build) -> None:
    task, objective = build("teacherless", task=TASK)
    prompts, answers = data(task)
    other = answers.flip(0)
    one, two = objective(prompts, answers), objective(prompts, other)
    assert torch.equal(one.predictions, two.predictions)
    mixed = torch.cat([other[:, :1], answers[:, 1:]], dim=1)
    assert torch.equal(objective(prompts, mixed).tokens[:, 1:], one.tokens[:, 1:])


@pytest.mark.parametrize("task_name", ["path_star", "ragged"])
@pytest.mark.parametrize("weight", [0.5, 7])
def test_a_weight_of_the_decision_is_one_in_the_mean_of_each_example(
    weight: float, task_name: str, build: Build
) -> None:
    task, objective = build({"name": "hints", "weight": weight}, task={**TASK, "name": task_name})
    prompts, answers = data(task)
    tokens, mask, means = build(task=TASK)[1](prompts, answers).tokens, task.taught(answers), []
    for i, row in enumerate(tokens):
        counts = [1.0 if mask is None else float(mask[i, j]) for j in range(4)]
        shares = [count * (weight if j == task.decision else 1) for j, count in enumerate(counts)]
        means.append(sum(share * loss for share, loss in zip(shares, row, strict=True)) / sum(shares))
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.total, torch.stack(means).mean(), atol=1e-9, rtol=1e-9)
    expected = tokens if mask is None else torch.where(mask, tokens, torch.nan)
    torch.testing.assert_close(loss.tokens, expected, equal_nan=True)


def test_a_large_weight_is_the_decision_alone_and_a_weight_of_one_is_none(build: Build) -> None:
    task, large = build({"name": "hints", "weight": 1e12}, task=TASK)
    prompts, answers = data(task)
    alone = build({"name": "hints", "taught": "decision"}, task=TASK)[1](prompts, answers)
    torch.testing.assert_close(large(prompts, answers).total, alone.total)
    one, forcing = build({"name": "hints", "weight": 1}, task=TASK)[1], build(task=TASK)[1]
    assert torch.equal(one(prompts, answers).total, forcing(prompts, answers).total)
    assert Run(task=TASK, objective={"name": "hints", "weight": 1}).id == Run(task=TASK, objective="hints").id


def test_every_taught_token_has_a_gradient_of_its_own(build: Build) -> None:
    task, objective = build({"name": "hints", "taught": "decision"}, task=TASK)
    loss = objective(*data(task))
    gradients = torch.autograd.grad(
        loss.tokens[:, task.decision].mean(), list(objective.parameters()), retain_graph=True
    )
    totals = torch.autograd.grad(loss.total, list(objective.parameters()))
    assert all(torch.equal(one, other) and one.isfinite().all() for one, other in zip(gradients, totals, strict=True))
    assert any(one.any() for one in gradients)


# -- answering -----------------------------------------------------------------------------------------------


def answer_by_hand(objective: Objective, prompts: Tensor, given: Tensor | None = None) -> Tensor:
    """Greedy, one full forward pass a token."""
    answers = prompts.new_zeros(prompts.shape[0], objective.answer_length)
    known = 0 if given is None else given.shape[1]
    if given is not None:
        answers[:, :known] = given
    backwards = isinstance(objective, Reversed)
    for position in range(known, answers.shape[1]):
        in_order = answers.flip(1) if backwards else answers
        answers[:, position] = logits_by_hand(objective, prompts, in_order)[:, position].argmax(dim=-1)
    return answers.flip(1) if backwards else answers


@pytest.fixture
def sharp(build: Build) -> Build:
    """With large random weights a model does not answer one token for everything, which would hide faults."""

    def make(method: Any) -> tuple[Task, Objective]:
        task, objective = build(method, task=TASK)
        generator = torch.Generator().manual_seed(0)
        for parameter in objective.parameters():
            parameter.data.normal_(generator=generator)
        return task, objective

    return make


@each_method
def test_answers_are_those_of_a_naive_reference(method: Any, sharp: Build) -> None:
    task, objective = sharp(method)
    prompts, _ = data(task, count=40, split="test")
    answers = objective.answer(prompts)
    assert answers.dtype == torch.int64
    assert not answers.requires_grad
    assert torch.equal(answers, answer_by_hand(objective, prompts))
    assert answers.unique(dim=0).shape[0] > 2, "too few different answers to see a fault"
    assert torch.equal(answers[5:9], objective.answer(prompts[5:9]))


@pytest.mark.parametrize(
    ("method", "known"),
    [("teacher_forcing", known) for known in (1, 2, 3, 4)]
    + [
        ("token_order", 2),
        ({"name": "next_latent", "horizon": 2}, 2),
        ({"name": "sequential_modules", "modules": 2}, 2),
    ]
    + [({"name": "hints", "start": False}, known) for known in (2, 3, 4)],
)
def test_an_answer_goes_on_from_what_is_given(method: Any, known: int, sharp: Build) -> None:
    task, objective = sharp(method)
    prompts, answers = data(task, count=20, split="test")
    given = task.decoys(prompts, answers)[:, :known]
    continued = objective.answer(prompts, given=given)
    assert torch.equal(continued[:, :known], given)
    assert torch.equal(continued, answer_by_hand(objective, prompts, given))
    own = objective.answer(prompts)
    assert torch.equal(objective.answer(prompts, given=own[:, :known]), own)


def test_more_than_an_answer_cannot_be_given(build: Build) -> None:
    task, objective = build(task=TASK)
    prompts, answers = data(task)
    with pytest.raises(LookaheadError, match="5 forced tokens, but an answer has 4"):
        objective.answer(prompts, given=torch.cat([answers, answers[:, :1]], dim=1))


@pytest.mark.parametrize("method", ["reversed", "teacherless"])
def test_who_cannot_go_on_says_so(method: str, build: Build) -> None:
    task, objective = build(method, task=TASK)
    prompts, answers = data(task)
    with pytest.raises(CannotContinue, match=method):
        objective.answer(prompts, given=answers[:, :2])


# -- prompts that were read ----------------------------------------------------------------------------------


def outcome(answer: Callable[..., Tensor], prompts: Any, given: Tensor | None) -> Tensor | None:
    """The answers; None where the objective cannot go on from what is given."""
    try:
        return answer(prompts, given)
    except CannotContinue:
        return None


@each_read_once
def test_prefilled_prompts_change_no_result(method: Any, model: Any, build: Build) -> None:
    """The loss, the answers, and those that go on from forced tokens; the weights are large, so that answers differ."""
    task, objective = build(method, task=TASK, model=model)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.mul_(2)
    prompts, answers = data(task, count=20)
    assert len(objective.answer(prompts).unique(dim=0)) > 2
    with torch.no_grad():
        read, noise = objective.prefill(prompts), noise_for(objective, answers)
        for _ in range(2):  # they can be gone on from again
            found, expected = (objective(some, answers, noise) for some in (read, prompts))
            torch.testing.assert_close(found.total, expected.total, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=1e-5, equal_nan=True)
            assert torch.equal(found.predictions, expected.predictions)
            for given in (None, *(task.decoys(prompts, answers)[:, :known] for known in range(1, 5))):
                one, other = (outcome(objective.answer, some, given) for some in (read, prompts))
                assert (one is None) == (other is None)
                assert one is None or other is None or torch.equal(one, other)


@pytest.mark.parametrize("method", FIRST.values(), ids=FIRST)
def test_prefilled_evaluation_is_plain_evaluation(method: Any, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    task, objective = build(method, task=TASK)
    prefilled = evaluate(objective, task, "test", 40)
    monkeypatch.setattr(type(objective), "prefill", Objective.prefill)
    plain = evaluate(objective, task, "test", 40)
    assert prefilled.keys() == plain.keys()
    for name, value in plain.items():
        assert prefilled[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name


def test_an_answer_of_one_token_needs_no_hints(build: Build) -> None:
    task, objective = build(task=TASK)
    objective.answer_length = 1
    prompts, answers = data(task)
    read = objective.prefill(prompts)
    assert torch.equal(objective(read, answers[:, :1]).predictions, objective.answer(read))
    assert torch.equal(objective(prompts, answers[:, :1]).predictions, objective.answer(prompts))


class StartTwice(TeacherForcing):
    """Another layout: the last prompt token is read twice."""

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        return super().forward(torch.cat([prompts, prompts[:, -1:]], dim=1), answers)

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        return super().answer(torch.cat([prompts, prompts[:, -1:]], dim=1), given)


def test_a_child_with_another_layout_is_measured_right_or_not_at_all(build: Build) -> None:
    """It says that it takes plain prompts, or the evaluation raises; what only flips answers need not know of it."""

    class Plain(StartTwice):
        prefill = Objective.prefill

    class Flipped(TeacherForcing):
        def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
            return super().answer(prompts, given).flip(1)

    task, objective = build({"name": "hints"}, task={**TASK, "path_length": 5})  # has room for one more token
    task, _ = build(task=TASK)
    with pytest.raises(TypeError, match="Prefilled"):
        evaluate(StartTwice(objective.model, task), task, "test", 20)
    plain = Plain(objective.model, task)
    prompts, answers = data(task, count=20, split="test")
    expected = [plain(prompts, answers).tokens.mean(dim=0), (plain.answer(prompts) == answers).double().mean(dim=0)]
    found = evaluate(plain, task, "test", 20)
    assert found["loss"] == pytest.approx(expected[0].tolist(), rel=1e-6)
    assert found["autoregressive_token_accuracy"] == pytest.approx(expected[1].tolist())
    flipped = Flipped(objective.model, task)
    share = (flipped.answer(prompts) == answers).double().mean(dim=0)
    assert evaluate(flipped, task, "test", 20)["autoregressive_token_accuracy"] == pytest.approx(share.tolist())


# -- what is asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "extra"), [(TeacherForcing, 0), (Reversed, 0), (Teacherless, 1), (Hints, 1)], ids=lambda x: str(x)
)
def test_needs(kind: type[Objective], extra: int) -> None:
    """Prompt and answer but for the last token, which nothing reads."""
    assert kind.needs(15, 4) == Needs(longest=18, extra_tokens=extra, attention="causal", noise=0)


@each_method
def test_the_model_has_room_for_what_is_needed_and_no_more(method: Any, build: Build) -> None:
    task, objective = build(method, task=TASK)
    assert objective.model.longest == task.prompt_length + task.answer_length - 1
    assert objective.model.vocab_size == task.vocab_size + 4
    assert objective.dummy == task.vocab_size == 13


def test_an_unknown_option_is_refused(build: Build) -> None:
    with pytest.raises(LookaheadError, match="unknown option of objective 'teacher_forcing': start; known: none"):
        build({"name": "teacher_forcing", "start": False})
    with pytest.raises(
        LookaheadError, match="unknown option of objective 'hints': begin; known: start, later, taught, weight"
    ):
        build({"name": "hints", "begin": False})
    with pytest.raises(LookaheadError, match="taught must be one of all, decision, not 'goal'"):
        build({"name": "hints", "taught": "goal"})
    with pytest.raises(LookaheadError, match="weight must be above 0, not -1"):
        build({"name": "hints", "weight": -1})
    with pytest.raises(LookaheadError, match="weight 2 weighs nothing where the decision is taught alone"):
        build({"name": "hints", "taught": "decision", "weight": 2})


# -- a new one -----------------------------------------------------------------------------------------------


def test_a_new_objective_is_one_class(store: Path) -> None:
    """What the researcher writes: a class with a name, what it needs, how it teaches, how it answers."""

    class GoalFirst(Objective, name="goal_first"):
        """Every token from the prompt and the goal's token, put `repeats` times behind it."""

        def __init__(self, model: Model, task: Task, *, repeats: int = 1) -> None:
            super().__init__(model, task)
            self.repeats = repeats

        @classmethod
        def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
            return Needs(longest=prompt_length + options["repeats"] + answer_length, extra_tokens=1)

        def logits(self, prompts: Tensor) -> Tensor:
            dummies = prompts.new_full((prompts.shape[0], self.answer_length), self.dummy)
            goal = prompts[:, -2:-1].expand(-1, self.repeats)
            hidden = self.model(torch.cat([prompts, goal, dummies], dim=1))
            return self.model.unembed(hidden[:, -self.answer_length :])

        def forward(
            self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
        ) -> Loss:
            logits = self.logits(prompts)
            tokens = torch.nn.functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none")
            return Loss(tokens.mean(), tokens, logits.argmax(dim=-1), {"first": tokens[:, 0].mean()})

        @torch.no_grad()
        def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
            if given is not None:
                raise CannotContinue("all at once")
            return self.logits(prompts).argmax(dim=-1)

    fields = {
        "task": lookahead.PathStar(2, 3, 10),
        "objective": {"name": "goal_first", "repeats": 2},
        "model": {"name": "transformer", "layers": 1, "width": 16, "heads": 2},
        "steps": 20,
        "batch_size": 32,
        "evaluate_every": 10,
        "warmup": 0,
        "learning_rate": 0.01,
        "device": "cpu",
    }
    try:
        result = lookahead.run(**fields)
        assert result.curve[-1]["training_loss"] < result.curve[1]["training_loss"]
        assert (store / "runs" / result.run.id / "weights.safetensors").exists()
        assert lookahead.run(**fields).manifest == result.manifest  # found, not trained again
        _, objective = lookahead.trained(result.run)
        assert isinstance(objective, GoalFirst)
    finally:
        del Objective.known["goal_first"]


def test_hints_cannot_be_put_on_an_arm_that_they_hide() -> None:
    task = PathStar(2, 4, 10)
    prompts, answers = task.sample("test", torch.arange(4))
    forced = task.decoys(prompts, answers)[:, : task.decision + 1]
    for start in (True, False):
        _, blind = Run(task=task, objective={"name": "hints", "start": start, "later": False}).build()
        with pytest.raises(CannotContinue, match="would be hidden"):
            blind.answer(prompts, given=forced)
        _, seeing = Run(task=task, objective={"name": "hints", "start": start}).build()
        assert torch.equal(seeing.answer(prompts, given=forced)[:, : task.decision + 1], forced)


@pytest.mark.parametrize("numbers", [1, 3])
def test_noise_reaches_the_objective_that_asks_for_it(numbers: int, store: Path) -> None:
    """[B, A] for one number a token, [B, A, k] for k; fresh ones in every step, the same in every process."""
    heard: list[Tensor] = []

    class Listening(TeacherForcing, name="listening"):
        @classmethod
        def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
            return Needs(longest=prompt_length + answer_length - 1, noise=numbers)

        def forward(
            self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
        ) -> Loss:
            assert noise is not None
            heard.append(noise)
            return super().forward(prompts, answers, noise, progress)

    try:
        model = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
        task = PathStar(2, 3, 10)
        lookahead.run(task=task, model=model, objective="listening", steps=2, batch_size=4, evaluate_every=2)
        _, objective = Run(task=task, model=model, objective="listening").build()
    finally:
        del Objective.known["listening"]
    shape = (3,) if numbers == 1 else (3, numbers)
    assert all(noise.shape[1:] == shape and noise.min() >= 0 and noise.max() < 1 for noise in heard)
    trained = [noise for noise in heard if len(noise) == 4]
    assert len(trained) == 2
    assert not torch.equal(*trained)
    indices = torch.arange(5)
    drawn = uniforms(("key",), indices, 3 * numbers).reshape(5, *shape)
    one = objective.noise(("key",), indices)
    each = objective.noise([("key",), ("other",)], indices[None])
    assert one is not None
    assert each is not None
    assert torch.equal(one, drawn)
    assert torch.equal(each[0], drawn)
    assert not torch.equal(each[1], drawn)


def test_an_attention_that_the_model_cannot_do_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transformer, "attentions", ("full",))
    with pytest.raises(LookaheadError, match="teacher_forcing needs causal attention, which a transformer cannot do"):
        Run(task=PathStar(2, 3, 10)).build()


# -- answers of different length -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ragged(PathStar, name="ragged"):
    """Path-star whose last token counts only where the start is even."""

    def taught(self, answers: Tensor) -> Tensor:
        mask = torch.ones_like(answers, dtype=torch.bool)
        mask[:, -1] = answers[:, 0] % 2 == 0
        return mask


FROM_THE_END = (
    "reversed",
    "ladder",
    "belief_state",
    "masked",
    "any_order",
    "lookahead_tokens",
    "policy_gradient",
    "value_guided",
)
RAGGED = {**TASK, "name": "ragged"}
MASKABLE = {name: spec for name, spec in OBJECTIVES.items() if spec["name"] not in FROM_THE_END}


@pytest.mark.parametrize("method", MASKABLE.values(), ids=MASKABLE)
def test_what_does_not_count_is_neither_taught_nor_measured(method: dict[str, Any], build: Build) -> None:
    """Filling gets no gradient and no share: the loss is the mean over examples of the mean over what counts."""
    task, objective = build(method, task=RAGGED)
    prompts, answers = task.sample("train", torch.arange(32))
    mask = task.taught(answers)
    assert mask is not None
    assert 0 < mask[:, -1].sum() < 32
    noise = objective.noise(("evaluation", "train"), torch.arange(32))
    full = build(method, task=TASK)[1](prompts, answers, noise).tokens
    loss = objective(prompts, answers, noise)
    counted = mask & ~full.isnan()
    torch.testing.assert_close(loss.tokens, torch.where(mask, full, torch.nan), equal_nan=True)
    means = torch.where(counted, full, 0).sum(dim=1) / counted.sum(dim=1)
    if objective.name not in OTHER_TOTALS:
        total = next_token_total(objective, loss).double()
        torch.testing.assert_close(total, means.mean().double(), atol=1e-6, rtol=1e-6)
    measured = evaluate(objective, task, "train", 32)
    expected = (loss.predictions == answers)[mask[:, -1], -1].double().mean().item()
    assert measured["teacher_forced_token_accuracy"][-1] == pytest.approx(expected)
    assert (measured["loss"][-1] == measured["loss"][-1]) == (not full[:, -1].isnan().all())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("reversed", "reversed answers begin at the last token: ragged must have answers of one length"),
        (
            {"name": "ladder", "rungs": [0]},
            "rungs are counted from the last token: ragged must have answers of one length",
        ),
        ("belief_state", "ends are read from the last token: ragged must have answers of one length"),
        (
            {"name": "latent_lookahead", "steps": 2, "order": "backward"},
            "a plan from the end on would begin with filling: ragged must have answers of one length",
        ),
        (
            "policy_gradient",
            "an answer that ends elsewhere has other tokens that count: ragged must have answers of one length",
        ),
        ("value_guided", "an answer that ends elsewhere has other tokens to judge: ragged must have answers of one"),
        ("masked", "what is hidden tells how long an answer is: ragged must have answers of one length"),
        ("any_order", "orders other than from left to right would begin with filling: ragged must have answers of"),
        ("lookahead_tokens", "the token looked ahead to is counted from the last one: ragged must have answers of"),
    ],
)
def test_what_counts_from_the_end_wants_answers_of_one_length(method: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build(method, task=RAGGED)
