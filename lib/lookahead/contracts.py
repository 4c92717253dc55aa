"""What the rooms of the library promise each other: Task, Model, Objective, Loss, Needs.

Tasks, models and objectives stand beside each other and meet only here. A subclass that is given a
name registers itself, so a new one is one file:

    class MyObjective(Objective, name="my_objective"): ...

Shapes: B examples, P prompt tokens, A answer tokens, T tokens in a sequence, D width, V vocabulary.
"""

from __future__ import annotations

import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from lookahead.errors import CannotContinue, LookaheadError
from lookahead.random import Key, uniforms

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

REQUIRED = inspect.Parameter.empty

RESERVED_TOKENS = ("$", "<1>", "<2>", "<3>")
"""Ids that every model keeps after the task's own, whatever the objective, so that weights taught one
way load into another. The first is the dummy `$` of teacherless training (published vocabulary: N + 4)."""


class Named(ABC):
    """Subclasses declared with `name=` are found by that name: `Task.named("path_star")`."""

    name: ClassVar[str]
    known: ClassVar[dict[str, type[Any]]]
    supplied: ClassVar[frozenset[str]]
    """Constructor arguments that the harness supplies; all others are options."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Named in cls.__bases__:
            cls.known = {}
        if name is not None:
            cls.name = name
            cls.known[name] = cls

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """The subclass registered as `name`.

        Raises:
            LookaheadError: no such name; the message lists those there are.
        """
        if name not in cls.known:
            kind = cls.__name__.lower()
            raise LookaheadError(f"unknown {kind} {name!r}; known: {', '.join(sorted(cls.known))}")
        return cls.known[name]

    @classmethod
    def options(cls) -> dict[str, Any]:
        """What a run's configuration may set, with the defaults (`REQUIRED` where there is none)."""
        parameters = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in cls.supplied}


class Task(Named):
    """What is to be learnt: (prompt, answer) pairs, and who is right.

    Example i of a split is a pure function of (task, seed, split, i): the same in any batch, on any
    device. Train, validation and test share no example, whatever the seed. Only what draws examples looks at the
    seed; who is right does not depend on it.
    """

    supplied = frozenset({"seed"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named sets of options."""
    seed: int

    @property
    def title(self) -> str:
        """The task in a word or two, for tables and figures, such as "G(2,5)"."""
        return self.name

    @classmethod
    def fitted(cls, options: dict[str, Any]) -> dict[str, Any]:
        """The options with every size raised to what the others need, for callers that set only some of them."""
        return options

    @property
    @abstractmethod
    def prompt_length(self) -> int:
        """P, tokens in a prompt."""

    @property
    @abstractmethod
    def answer_length(self) -> int:
        """A, tokens in an answer."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Ids that prompts and answers use: 0 ... vocab_size - 1. Reserved ids follow."""

    @property
    @abstractmethod
    def decision(self) -> int:
        """Index in the answer of the indecipherable token: the one that needs the lookahead.

        Where examples differ in it (see `decisions`), the last one that any of them has.
        """

    def decisions(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The index of the decision in every answer, [B]; here the one index."""
        return torch.full_like(answers[:, 0], self.decision)

    @property
    @abstractmethod
    def chance_accuracy(self) -> float:
        """Autoregressive accuracy of a model that knows everything but the decision."""

    @abstractmethod
    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] of a split, on the device of `indices`: prompts [B, P], answers [B, A]."""

    @classmethod
    def sample_each(cls, tasks: Sequence[Self], split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples of S tasks that differ in their seed alone, as each would draw its own.

        Args:
            indices: [S, B], or [1, B] where all take the same.

        Returns:
            prompts [S, B, P], answers [S, B, A].
        """
        rows = indices.expand(len(tasks), -1)
        prompts, answers = zip(*(task.sample(split, row) for task, row in zip(tasks, rows, strict=True)), strict=True)
        return torch.stack(prompts), torch.stack(answers)

    @abstractmethod
    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Which of the `given` [B, A] answers are right: [B], bool."""

    @abstractmethod
    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """A whole wrong answer a cheat could be led into, [B, A]: right but for the decision and what follows."""

    @abstractmethod
    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in words."""


@dataclass(frozen=True)
class Needs:
    """What an objective asks of a model, known before anything is built."""

    longest: int
    """Tokens in the longest sequence."""
    extra_tokens: int = 0
    """How many of the reserved ids it uses."""
    attention: Literal["causal", "full"] = "causal"
    noise: bool = False
    """Whether `forward` wants a fresh random tensor each step."""


class Model(Named, nn.Module):
    """Tokens in, logits out; knows its sizes, nothing of tasks."""

    supplied = frozenset({"vocab_size", "longest"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named sets of options."""
    attentions: ClassVar[tuple[str, ...]] = ("causal",)
    """The named kinds of attention it can do."""
    stackable: ClassVar[bool] = True
    """Whether several can be trained as one (`torch.func.vmap` takes all that they do)."""
    vocab_size: int
    longest: int

    @abstractmethod
    def forward(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        attention: str | Tensor = "causal",
        last: int | None = None,
    ) -> Tensor:
        """The residual stream before the final norm.

        Args:
            inputs: tokens [B, T], integer, or embeddings [B, T, D].
            positions: [T] or [B, T]; 0 ... T - 1 if not given.
            attention: "causal", "full", or a bool mask [T, T] or [B, T, T], true where row may see column.
            last: only the hidden states of so many last positions are wanted; all if not given. What no wanted
                one reads need not be computed.

        Returns:
            hidden [B, T or last, D].
        """

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings, without positions: [B, T] -> [B, T, D]."""

    @abstractmethod
    def unembed(self, hidden: Tensor) -> Tensor:
        """Final norm and output head: [..., D] -> logits [..., V]."""

    @abstractmethod
    def fresh(self, layers: int) -> Model:
        """Another trunk of the same kind and width, newly initialised."""

    @abstractmethod
    def step(self, tokens: Tensor, cache: Any | None = None, last: int | None = None) -> tuple[Tensor, Any]:
        """Goes on reading: the hidden states [B, T or last, D] of `tokens` [B, T] after all that `cache` has seen, and
        the cache to go on from.

        A cache may be gone on from again, as soon as what was gone on with the last time is no longer wanted.
        """

    def kernels_used(self, device: torch.device, precision: torch.dtype) -> str | None:
        """Which code computes what has more than one way to it, for a result's manifest; None where nothing has."""
        return None

    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Attention weights [layers, B, heads, T, T]; an error where the model has none."""
        raise LookaheadError(f"a {self.name} has no attention maps")


@dataclass
class Loss:
    """What one forward pass of an objective measured."""

    total: Tensor
    """The scalar to descend."""
    tokens: Tensor
    """Loss of every answer token in nats, in the task's order [B, A]; NaN where nothing was taught."""
    predictions: Tensor
    """Teacher-forced predictions, in the task's order [B, A]."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Named scalars worth watching."""


Asked = tuple[Loss, Tensor, Tensor | None]
"""What `Objective.ask` finds: the loss, the answers without a teacher [B, A], and those gone on from forced tokens."""


class Objective(Named, nn.Module):
    """How a model is taught and how it answers. Only it knows the layout of its sequences.

    `forward` has no side effect and never waits for the device. What the constructor takes beside model
    and task are the objective's options; they are part of a run's identity.
    """

    supplied = frozenset({"model", "task"})
    wants_noise = False
    """Set from `needs` when it is built."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(name, **kwargs)
        if "ask" not in vars(cls) and {"forward", "answer"} & set(vars(cls)):
            cls.ask = Objective.ask  # a parent's short cut knows nothing of it

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__()
        self.model = model
        self.prompt_length = task.prompt_length
        self.answer_length = task.answer_length
        self.dummy = task.vocab_size

    @classmethod
    @abstractmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        """What it asks of the model for prompts [B, P] and answers [B, A]."""

    @abstractmethod
    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        """Teaches: prompts [B, P], answers [B, A] -> Loss.

        Args:
            noise: uniform numbers in [0, 1), [B, A], where `needs` asks for them.
            progress: how much of the training is done, a scalar in [0, 1].
        """

    def noise(self, key: Key | list[Key], indices: Tensor) -> Tensor | None:
        """The noise for examples `indices` [B], the same on every machine; None where `needs` asks for none.

        For a list of S keys and indices [S, B] or [1, B] that of every member, [S, B, A].
        """
        return uniforms(key, indices, self.answer_length) if self.wants_noise else None

    @abstractmethod
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Answers without a teacher, greedily: [B, A].

        Args:
            given: forced first answer tokens [B, K], in the task's order; the answer goes on from them.

        Raises:
            CannotContinue: the objective does not answer in the task's order.
        """

    def ask(self, prompts: Tensor, answers: Tensor, forced: Tensor, noise: Tensor | None = None) -> Asked:
        """All that evaluation wants to know of prompts [B, P]: `forward`, `answer`, and `answer` gone on from the
        `forced` first tokens [B, K], None where it cannot go on from them.

        Here in three passes. An objective that can do with one reading of the prompt says how.
        """
        try:
            led = self.answer(prompts, forced)
        except CannotContinue:
            led = None
        return self(prompts, answers, noise=noise), self.answer(prompts), led


def whole_number(name: str, value: Any) -> int:
    """An int, from an int of any kind or a float that holds one; else a LookaheadError that says `name`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise LookaheadError(f"{name} must be a whole number, not {value!r}") from None


def parameters(module: nn.Module) -> int:
    """Trainable numbers in a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
