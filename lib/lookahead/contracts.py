"""What the rooms of the library promise each other: Task, Model, Objective, Loss, Needs.

Tasks, models and objectives stand beside each other and meet only here. A subclass that is given a
name registers itself, and a package of them imports every file that it holds, so a new one is one file:

    class MyObjective(Objective, name="my_objective"): ...

Shapes: B examples, P prompt tokens, A answer tokens, T tokens in a sequence, D width, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.errors import LookaheadError
from lookahead.random import Key, uniforms
from lookahead.registry import Named

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

RESERVED_TOKENS = ("$", "<1>", "<2>", "<3>")
"""Ids that every model keeps after the task's own, whatever the objective, so that weights taught one
way load into another. The first is the dummy `$` of teacherless training (published vocabulary: N + 4)."""


class Task(Named):
    """What is to be learnt: (prompt, answer) pairs, and which answers are right.

    Example i of a split is a pure function of (task, seed, split, i): the same in any batch, on any
    device. Train, validation and test share no example, whatever the seed. Only what draws examples looks at the
    seed; who is right does not depend on it.

    The constructor takes `seed`; every other argument is an option, and an attribute of the same name.
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
    def labels(self) -> int:
        """Ids that answers use: 0 ... labels - 1; here all."""
        return self.vocab_size

    @property
    def last_prompt_token(self) -> int | None:
        """The id that ends every prompt, a mark; None where prompts end in different ones."""
        return None

    @property
    def decision_known(self) -> bool:
        """Whether the task knows its decision; of data of one's own nobody may know it.

        Where it does not, `decision` raises a LookaheadError, and measures that ask for the decision are absent.
        """
        return True

    @property
    @abstractmethod
    def decision(self) -> int:
        """Index in the answer of the indecipherable token: the one that needs the lookahead.

        Where examples differ in it (see `decisions`), the last one that any of them has.

        Raises:
            LookaheadError: it is not known (see `decision_known`).
        """

    def decisions(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The index of the decision in every answer, [B]; here the one index."""
        return torch.full_like(answers[:, 0], self.decision)

    def taught(self, answers: Tensor) -> Tensor | None:
        """Which answer tokens count, [B, A], bool: for answers of different length all but the filling.

        None where all count. The others are neither taught nor measured; every answer has at least one that counts.
        """
        return None

    @property
    def one_length(self) -> bool:
        """Whether all answer tokens of all examples count, so that `taught` gives None."""
        return type(self).taught is Task.taught

    @property
    @abstractmethod
    def chance_accuracy(self) -> float:
        """Autoregressive accuracy of a model that knows everything but the decision.

        Where the decision is not known, that of the one answer that is the commonest.
        """

    @property
    @abstractmethod
    def test_size(self) -> float:
        """How many different examples the test split holds; `math.inf` where more than anybody will draw.

        Those that a model is right or wrong about together count as one: a graph, whatever the order of its edges.
        The intervals of all shares take it into account (see `evaluation.statistics.trials`).
        """

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

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        """Refuses tokens that are no examples of the task, such as those of one with other ids.

        Args:
            prompts: [B, P].
            answers: [B, A].

        Raises:
            LookaheadError: what is wrong with them.
        """
        for name, tokens, length in (
            ("prompts", prompts, self.prompt_length),
            ("answers", answers, self.answer_length),
        ):
            if tokens.shape != (len(answers), length):
                raise LookaheadError(f"{name} of {self.title} are [B, {length}], alike in B, not {list(tokens.shape)}")
            if tokens.numel() and not (tokens.min() >= 0 and tokens.max() < self.vocab_size):
                raise LookaheadError(
                    f"ids from {tokens.min()} to {tokens.max()}: those of {self.title} are 0 to {self.vocab_size - 1}"
                )

    def read_examples(self, path: str | Path) -> tuple[Tensor, Tensor]:
        """Examples of this task from a file: prompts [B, P], answers [B, A], in the ids of this task.

        Raises:
            LookaheadError: what is wrong with the file, or the task knows no files.
        """
        raise LookaheadError(f"{self.name} knows no file format: it only draws its examples")

    @abstractmethod
    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Which of the `given` [B, A] answers are right: [B], bool."""

    @abstractmethod
    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor | None:
        """A whole wrong answer a cheat could be led into, [B, A]: right but for the decision and what follows.

        None where nobody knows one; measures that ask for it are absent then.
        """

    @abstractmethod
    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in words."""


@dataclass(frozen=True)
class Needs:
    """What an objective asks of a model, known before anything is built."""

    longest: int
    """Tokens in the longest sequence."""
    extra_tokens: int = 0
    """How many of the reserved ids the objective uses."""
    attention: Literal["causal", "full", "masked"] = "causal"
    """What the model must be able to compute; "masked" is a mask of the objective's own."""
    noise: int = 0
    """Uniform random numbers for every answer token, fresh in each step; 0 for none."""


class Model(Named, nn.Module):
    """Tokens in, logits out; a model knows its sizes, nothing of tasks.

    A module inside of it may name in `vectors: ClassVar[tuple[str, ...]]` those of its own parameters that are matrices
    by their shape only. Optimisers then treat them as biases and gains: without Muon, without weight decay.
    """

    supplied = frozenset({"vocab_size", "longest"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named sets of options."""
    attentions: ClassVar[tuple[str, ...]] = ("causal",)
    """The kinds of attention that the model can compute, by name; "masked" is any that a mask says."""
    stackable: ClassVar[bool] = False
    """Whether several models can be trained as one: `torch.func.vmap` must know all their operations."""
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
            last: how many positions, counted from the end, to give hidden states for; all if not given. A model may
                leave out what those do not depend on.

        Returns:
            hidden [B, T or last, D].
        """

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings, without positions: [B, T] -> [B, T, D]."""

    @abstractmethod
    def norm(self, hidden: Tensor) -> Tensor:
        """The final norm: [..., D] -> [..., D]."""

    @property
    @abstractmethod
    def output(self) -> Tensor:
        """The output matrix [V, D], whose products with what the final norm gives are logits."""

    def unembed(self, hidden: Tensor) -> Tensor:
        """Final norm and output matrix: [..., D] -> logits [..., V]."""
        return F.linear(self.norm(hidden), self.output)

    @abstractmethod
    def fresh(self, layers: int | None = None, shared: bool = False) -> Model:
        """Another trunk of the same kind and width, newly initialised.

        Args:
            layers: how many; as many as this one if not given.
            shared: it reads and predicts tokens by this one's embeddings, which stay one and the same.
        """

    @abstractmethod
    def decode(self, tokens: Tensor, cache: Any | None = None, last: int | None = None) -> tuple[Tensor, Any]:
        """Hidden states [B, T or last, D] of `tokens` [B, T] that follow the tokens in `cache`, and the longer cache.

        Embeddings [B, T, D] may stand for the tokens, as in `forward`. A cache may be extended again once what was
        appended after it is not needed any more.
        """

    def kernels_used(self, device: torch.device, precision: torch.dtype) -> str | None:
        """The name of the code that computes the model's scan, for a result's manifest; None without a scan."""
        return None

    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Attention weights [layers, B, heads, T, T].

        Raises:
            LookaheadError: the model has none.
        """
        raise LookaheadError(f"a {self.name} has no attention maps")


@dataclass
class Loss:
    """Outcome of an objective's forward pass."""

    total: Tensor
    """The scalar to descend."""
    tokens: Tensor
    """Loss of every answer token in nats, in the task's order [B, A]; NaN where nothing was taught."""
    predictions: Tensor
    """Teacher-forced predictions, in the task's order [B, A]."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Named scalars to watch, such as the terms of the total, each a mean over the examples; the learning curve
    stores them."""


class Objective(Named, nn.Module):
    """How a model is taught and how it answers. Only the objective knows the layout of its sequences.

    `forward` has no side effect and never waits for the device. What the constructor takes beside model
    and task are the objective's options; they are part of a run's identity.
    """

    supplied = frozenset({"model", "task"})
    noise_per_token = 0
    """`Needs.noise`, set when the objective is built."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(name=name, **kwargs)
        if "answer" in vars(cls):
            cls.answer = _refusing_foreign_prompts(cls.answer)

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__()
        self.model = model
        self.prompt_length = task.prompt_length
        self.answer_length = task.answer_length
        self.last_prompt_token = task.last_prompt_token
        self.dummy = task.vocab_size
        self.mask = task.taught
        """Answers [B, A] -> which of their tokens are taught, [B, A], or None for all."""

    def check(self, task: Task) -> None:
        """Refuses a task with other ids or lengths than that which the objective was made for.

        Raises:
            LookaheadError: what differs.
        """
        made = (self.dummy, self.prompt_length, self.answer_length)
        asked = (task.vocab_size, task.prompt_length, task.answer_length)
        if made != asked:
            said = "{} ids, prompts of {} tokens and answers of {}"
            raise LookaheadError(f"made for a task of {said.format(*made)}; {task.title} has {said.format(*asked)}")

    @classmethod
    @abstractmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        """What the objective asks of the model for prompts [B, P] and answers [B, A].

        Args:
            options: all of the objective's, defaults filled in.
        """

    @abstractmethod
    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        """Loss on prompts [B, P] with answers [B, A].

        Args:
            prompts: the tokens, or from the evaluation what `prefill` made of them.
            noise: k uniform numbers in [0, 1) for every answer token, where `needs` asks for k: [B, A] for 1,
                [B, A, k] for more.
            progress: how much of the training is done, a scalar in [0, 1]; None where the loss is only measured. An
                objective that is taught on what it draws may then give `tokens` and `predictions` as it answers.
        """

    @abstractmethod
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Answers without a teacher, greedily: [B, A].

        Args:
            prompts: the tokens [B, P], or from the evaluation what `prefill` made of them.
            given: forced first answer tokens [B, K], in the task's order; the answer goes on from them.

        Raises:
            CannotContinue: the objective does not answer in the task's order.
            LookaheadError: prompts that end in another token than all of the objective's task: those of another
                vocabulary do, where its ids are others. Whatever `answer` a class defines is told so; under vmap, where
                no value may be asked for, nothing is.
        """

    def prefill(self, prompts: Tensor) -> Any:
        """Prompts [B, P], read once: what the evaluation passes to `forward` and `answer` in place of the tokens.

        A short cut that changes no result: the tokens themselves, unless a subclass can go on from a prompt that was
        read. A child of such a class that lays its sequences out in another way sets `prefill = Objective.prefill`.
        """
        return prompts

    def noise(self, key: Key | list[Key], indices: Tensor) -> Tensor | None:
        """Noise for the examples `indices` [B], the same on every machine: [B, A], [B, A, k] where `needs` asks for
        k > 1 numbers a token, None where it asks for none.

        For a list of S keys and indices [S, B] or [1, B] with a leading dimension S: the noise of every member.
        """
        if not self.noise_per_token:
            return None
        numbers = uniforms(key, indices, self.answer_length * self.noise_per_token)
        return numbers if self.noise_per_token == 1 else numbers.unflatten(-1, (self.answer_length, -1))


def _refusing_foreign_prompts(answer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`Objective.answer`, asked for prompts of its own task only."""

    @functools.wraps(answer)
    def asked(self: Objective, prompts: Any, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(prompts, Tensor) and (expected := self.last_prompt_token) is not None:
            with contextlib.suppress(RuntimeError):  # vmap's: no value may be asked for
                if found := sorted({*prompts[:, -1].tolist()} - {expected}):
                    raise LookaheadError(
                        f"prompts of the task that this was made for end in id {expected}; some of these in "
                        f"{found[0]}: they are of another vocabulary, such as one with another number of labels"
                    )
        return answer(self, prompts, *args, **kwargs)

    return asked
