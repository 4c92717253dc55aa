"""What a linear map reads off a state: known where the state is made by hand, layer by layer where a network is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Model, Objective, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.evaluation import linear_accuracy, probe_rungs, residual_stream
from lookahead.models.recurrent import Memory, Recurrent
from lookahead.models.transformer import Transformer
from lookahead.objectives import TeacherForcing
from lookahead.tasks import PathStar
from registered import MODELS

Build = Callable[..., tuple[Task, Objective]]

CLASSES, WIDTH = 5, 12


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels_of(count: int, seed: int) -> Tensor:
    """[count, 1]."""
    return torch.randint(CLASSES, (count, 1), generator=torch.Generator().manual_seed(seed))


def states_of(labels: Tensor, seed: int) -> Tensor:
    """States [N, D] in which a label is a direction, under noise in all others."""
    directions = torch.linalg.qr(noise(WIDTH, WIDTH)).Q
    hidden = torch.cat([3 * F.one_hot(labels[:, 0], CLASSES), noise(len(labels), WIDTH - CLASSES, seed=seed)], dim=1)
    return hidden @ directions + 7


# -- a linear classifier --------------------------------------------------------------------------------------


def test_a_label_that_is_a_direction_is_read() -> None:
    fitted, held = labels_of(300, 1), labels_of(200, 2)
    assert linear_accuracy(states_of(fitted, 3), fitted, states_of(held, 4), held, CLASSES).tolist() == [1.0]


def test_states_that_know_nothing_give_chance() -> None:
    """One in five, give or take four deviations of 2,000 examples; what fits the fitted ones does not count."""
    fitted, held = labels_of(40, 1), labels_of(2000, 2)
    accuracy = linear_accuracy(noise(40, WIDTH, seed=3), fitted, noise(2000, WIDTH, seed=4), held, CLASSES)
    assert abs(accuracy.item() - 1 / CLASSES) < 4 * (0.2 * 0.8 / 2000) ** 0.5


def test_states_that_are_all_the_same_give_the_most_frequent_label() -> None:
    fitted, held = torch.tensor([[2], [1], [2], [0]]), torch.tensor([[2], [1], [1], [2], [2]])
    state = noise(1, WIDTH) / 3
    accuracy = linear_accuracy(state.expand(4, -1), fitted, state.expand(5, -1), held, CLASSES)
    assert accuracy.tolist() == [0.6]


def test_only_what_is_linear_is_read() -> None:
    """Whether two signs differ is in a state that holds both, and no linear map reads it; their product it reads."""
    signs = noise(1000, 2).sign()
    product = signs.prod(dim=1, keepdim=True)
    labels = (product < 0).long()
    hidden, shown = (linear_accuracy(x[:500], labels[:500], x[500:], labels[500:], 2) for x in (signs, product))
    assert hidden.item() < 0.6
    assert shown.item() == 1


def test_many_at_once_are_each_by_itself() -> None:
    fitted, held = (
        torch.cat([labels_of(90, 1), labels_of(90, 5)], 1),
        torch.cat([labels_of(60, 2), labels_of(60, 6)], 1),
    )
    layers = [(states_of(fitted, 3), states_of(held, 4)), (noise(90, WIDTH, seed=7), noise(60, WIDTH, seed=8))]
    together = linear_accuracy(
        torch.stack([x for x, _ in layers]), fitted, torch.stack([y for _, y in layers]), held, CLASSES
    )
    alone = [[linear_accuracy(x, fitted[:, [k]], y, held[:, [k]], CLASSES).item() for k in range(2)] for x, y in layers]
    assert together.tolist() == alone
    assert together[0, 0] == 1
    assert together[1].max() < 0.5


def test_the_scale_of_the_states_does_not_matter() -> None:
    fitted, held = labels_of(60, 1), labels_of(200, 2)
    one, other = (
        linear_accuracy(a * noise(60, WIDTH), fitted, a * noise(200, WIDTH), held, CLASSES) for a in (1, 1e-3)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("states", "labels", "message"),
    [
        (noise(4, 3), labels_of(5, 0), "4 fitted states and 5 labels: one for each"),
        (noise(0, 3), labels_of(0, 0), "0 fitted states and 0 labels: one for each, at least one"),
        (noise(5, 3), labels_of(5, 0) + CLASSES, "the fitted labels must be from 0 to 4"),
        (noise(5, 2), labels_of(5, 0), "states of width 2 with 1 labels, judged on width 3 with 1"),
    ],
)
def test_what_is_no_pair_of_states_and_labels_is_refused(states: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        linear_accuracy(states, labels, noise(6, 3), labels_of(6, 0), CLASSES)


# -- the residual stream ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_stream_is_what_enters_and_leaves_every_block(name: str, build: Build) -> None:
    task, objective = build(model=name)
    model, tokens = objective.model, task.sample("train", torch.arange(3))[0]
    if isinstance(model, Transformer):
        expected = [model.enter(tokens)]
        for block in model.blocks:
            expected.append(block(expected[-1], "causal"))
    else:
        assert isinstance(model, Recurrent)
        expected = [model.embed(tokens)]
        for block in model.blocks:
            expected.append(block(expected[-1], Memory(), tokens.shape[1], model.kernels)[0])
    found = residual_stream(model, tokens, last=2)
    torch.testing.assert_close(found, torch.stack(expected)[:, :, -2:], atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(found[-1], model(tokens, last=2), atol=1e-12, rtol=1e-10)
    assert len(found) == len(model.blocks) + 1 > 2  # type: ignore[arg-type]


def test_nobody_listens_any_more_afterwards(build: Build) -> None:
    task, objective = build()
    residual_stream(objective.model, task.sample("train", torch.arange(1))[0], last=1)
    with pytest.raises(LookaheadError, match="at most"):
        residual_stream(objective.model, torch.zeros(1, 100, dtype=torch.long), last=1)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in objective.model.modules())


# -- rungs ------------------------------------------------------------------------------------------------------


class Write(nn.Module):
    """Adds a token to the stream from a position on, in directions of its own."""

    def __init__(self, directions: Tensor, first: int) -> None:
        super().__init__()
        self.directions, self.first = nn.Parameter(directions), first

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        reached = torch.arange(x.shape[1])[:, None] >= self.first
        return x + self.directions[token][:, None] * reached


class Stairs(Model):
    """A network made by hand: block k writes rung k - 1 of the right arm into the states from `first` on, only that."""

    def __init__(self, task: PathStar, first: int = 0) -> None:
        super().__init__()
        self.task, self.vocab_size, self.longest = task, task.vocab_size, 99
        rungs = task.answer_length - 1
        width = rungs * task.vocab_size
        self.blocks = nn.ModuleList(Write(w, first) for w in torch.linalg.qr(noise(width, width)).Q.chunk(rungs))

    def forward(
        self, inputs: Tensor, positions: Any = None, attention: Any = "causal", last: int | None = None
    ) -> Tensor:
        arm = self.task.arms(inputs[:, : self.task.prompt_length])[:, 0]  # [B, A - 1]
        x = self.embed(inputs)
        for rung, block in enumerate(self.blocks):
            x = block(x, arm[:, -1 - rung])
        return x if last is None else x[:, -last:]

    def embed(self, tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, len(self.blocks) * self.vocab_size)

    def norm(self, hidden: Tensor) -> Tensor:
        return hidden

    @property
    def output(self) -> Tensor:
        return torch.eye(self.vocab_size, len(self.blocks) * self.vocab_size)

    def fresh(self, layers: int) -> Model:
        raise NotImplementedError

    def decode(self, tokens: Tensor, cache: Any = None, last: int | None = None) -> tuple[Tensor, Any]:
        read = tokens if cache is None else torch.cat([cache, tokens], dim=1)
        return self(read, last=last or tokens.shape[1]), read


def test_a_rung_is_readable_from_the_block_that_finds_it_on() -> None:
    task = PathStar(2, 4, 10)
    found = probe_rungs(TeacherForcing(Stairs(task), task), task, count=200, fitted_on=400)
    assert list(found) == ["prompt", "decision"]
    for both in found.values():
        assert [[accuracy == 1 for accuracy in layer] for layer in both["answer"]] == [
            [False, False, False],
            [True, False, False],
            [True, True, False],
            [True, True, True],
        ]
        unread = [both["answer"][layer][rung] for layer in range(4) for rung in range(layer, 3)]
        assert max(unread) < 0.4, "one of at most nine other labels, and some examples by chance"
        assert max(max(layer) for layer in both["decoy"]) < 0.4


def test_each_blind_state_is_probed_where_it_stands() -> None:
    """Of a network that finds the rungs at the start alone, the state of `=` before it knows none."""
    task = PathStar(2, 4, 10)
    stairs = TeacherForcing(Stairs(task, first=task.prompt_length), task)
    found = probe_rungs(stairs, task, count=100, fitted_on=400)
    assert found["decision"]["answer"][-1] == [1, 1, 1]
    assert max(found["prompt"]["answer"][-1]) < 0.4


def test_an_untrained_network_is_probed_without_being_changed(build: Build) -> None:
    task, objective = build(model={"name": "transformer", "layers": 2, "width": 16, "heads": 2})
    before = {name: weight.clone() for name, weight in objective.state_dict().items()}
    chance = torch.get_rng_state()
    found, again = (probe_rungs(objective, task, count=100, fitted_on=200) for _ in range(2))
    assert found == again
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(weight, before[name]) for name, weight in objective.state_dict().items())
    assert all(p.grad is None for p in objective.parameters())
    for both in found.values():
        assert both.keys() == {"answer", "decoy"}
        for layers in both.values():
            assert [len(rungs) for rungs in layers] == [2, 2, 2]
            assert all(0 <= accuracy <= 1 for rungs in layers for accuracy in rungs)


def test_before_the_first_block_the_last_token_of_the_prompt_tells_nothing(build: Build) -> None:
    """There the probe can but name the label that is most frequent among those that it was fitted to."""
    task, objective = build()
    found = probe_rungs(objective, task, at=["prompt"], count=300, fitted_on=500)
    fitted, held = (task.sample(s, torch.arange(n))[1] for s, n in (("train", 500), ("validation", 300)))  # type: ignore[arg-type]
    for rung, accuracy in enumerate(found["prompt"]["answer"][0]):
        assert accuracy == pytest.approx((held[:, -1 - rung] == fitted[:, -1 - rung].mode().values).double().mean())


def test_a_network_is_probed_where_it_decides(build: Build) -> None:
    """Reversed, it begins at the goal: the state after the start is none that it knows."""
    task, objective = build("reversed")
    with pytest.raises(CannotContinue, match="reversed answers start at the goal"):
        probe_rungs(objective, task, count=8, fitted_on=8)
    assert list(probe_rungs(objective, task, at=["prompt"], count=8, fitted_on=8)) == ["prompt"]


def test_what_cannot_be_probed_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    task, objective = build()
    for options, message in (
        ({"at": []}, "no state to probe: at must hold 'prompt', 'decision' or both"),
        ({"at": ["goal"]}, r"at\[0\] must be one of prompt, decision, not 'goal'"),
        ({"count": 0}, "count must be at least 1"),
        ({"fitted_on": 2.5}, "fitted_on must be a whole number"),
    ):
        with pytest.raises(LookaheadError, match=message):
            probe_rungs(objective, task, **options)  # type: ignore[arg-type]
    with pytest.raises(LookaheadError, match="made for a task of"):
        probe_rungs(objective, PathStar(2, 4, 10))
    monkeypatch.setattr(type(task), "taught", lambda task, answers: answers > 0)
    with pytest.raises(LookaheadError, match="must have answers of one length"):
        probe_rungs(objective, task)
    monkeypatch.undo()
    monkeypatch.setattr(objective.model, "blocks", None)
    with pytest.raises(LookaheadError, match="a transformer has no `blocks` to look behind"):
        residual_stream(objective.model, torch.zeros(1, 4, dtype=torch.long), last=1)
