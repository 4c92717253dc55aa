"""What an objective asks every state for: found by changing answers, whatever the method."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of

Ask = Literal["read", "no", "given", "alone"]
"""What a state has to do with an answer token: it was read there or before; nothing; it is asked for where other answer
tokens are shown beside the state; it is asked for with nothing else shown."""

CHANGED = 1e-9
"""A larger change, as a share of the largest value, is one: everything is computed in float64."""


@dataclass(frozen=True)
class Asked:
    """One output of the model in a forward pass, and what is asked of it."""

    reads: int | None
    """The token that the model reads there in the first example; None where it is given an embedding, or where examples
    differ in what stands there."""
    blind: bool
    """It depends on the prompt's last token, and on no answer token from the decision on."""
    asks: tuple[Ask, ...]
    """For every answer token."""


def layout(objective: Objective, task: Task, examples: int = 16) -> list[Asked]:
    """What every state that has read the whole prompt is asked for, in the order in which the model gives them.

    A state is an output of the model. A term of the loss (that of an answer token, or a named part) asks it for a token
    that it has not read if the gradient of the term with respect to the state depends on which token that is; and for
    the token alone if it depends on it in the same way whatever the other tokens are. A target that is predicted from
    the state and from other tokens of the teacher is "given", and so are those tokens.

    The objective is left as it is. Whether it was trained does not matter, but for weights that are exactly 0.

    Args:
        examples: the task's first ones; each tells the same, but for objectives that draw noise. A state counts as one
            that has read the prompt, or a token, if it is so in all of them; as blind, or as asked, if it is in any.

    Raises:
        LookaheadError: a task that the objective was not made for, or one with too few ids to exchange the tokens of an
            answer.
    """
    objective.check(task)
    device = device_of(objective)
    objective = copy.deepcopy(objective).double().train(False)
    indices = torch.arange(examples, device=device)
    prompts, answers = task.sample("train", indices)
    noise = objective.noise(("asked",), indices)
    places = range(task.answer_length)
    others = unused(answers, task.vocab_size)

    def caught(prompts: Tensor, *changed: int) -> Caught:
        given = answers.clone()
        given[:, list(changed)] = others[:, list(changed)]
        return Caught.of(objective, prompts, given, noise)

    base = caught(prompts)
    unread = prompts.clone()
    unread[:, -1] = objective.dummy
    whole = caught(unread).differs(base)  # [b, S]: has read the prompt to its end
    one = [caught(prompts, k) for k in places]
    read = torch.stack([found.differs(base) for found in one])  # [A, b, S]
    change = torch.stack([found.gradients - base.gradients for found in one])
    size = base.gradients.abs().amax()
    asks = moved(change, size) & ~read[:, None]  # [A, terms, b, S], as is alone
    alone = asks.clone()
    for j, k in combinations(places, 2):
        both = caught(prompts, j, k).gradients - base.gradients
        mixed = moved(both - change[j] - change[k], size) & ~read[j] & ~read[k]
        alone[j] &= ~mixed
        alone[k] &= ~mixed
    blind = whole & ~read[task.decision :].any(dim=0)

    def ask(k: int, s: int) -> Ask:
        if read[k, :, s].all():
            return "read"
        return "alone" if alone[k, ..., s].any() else "given" if asks[k, ..., s].any() else "no"

    return [
        Asked(base.reads[s], bool(blind[:, s].any()), tuple(ask(k, s) for k in places))
        for s in range(base.states.shape[1])
        if whole[:, s].all()
    ]


def asked(objective: Objective, task: Task, examples: int = 16) -> list[Ask]:
    """What the blind states are asked for, together: an entry for every answer token from the decision on.

    See `layout`, which tells it state by state.
    """
    found = [one.asks[task.decision :] for one in layout(objective, task, examples) if one.blind]
    strongest: tuple[Ask, ...] = ("alone", "given", "no")
    return [next(ask for ask in strongest if ask in column or ask == "no") for column in zip(*found, strict=True)]


@dataclass(frozen=True)
class Caught:
    """What passes through a model in one forward pass of its objective."""

    reads: list[int | None]
    """What stands at each state in the first example."""
    states: Tensor
    """[B, S, D]."""
    gradients: Tensor
    """Of every term of the loss with respect to the states, [terms, B, S, D]."""

    @classmethod
    def of(cls, objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None) -> Caught:
        reads: list[int | None] = []
        outputs: list[Tensor] = []

        def listen(model: Any, inputs: Any, output: Tensor) -> Tensor:
            if not output.requires_grad:  # read, but not taught
                return output
            there = inputs[0][:, -output.shape[1] :]
            reads.extend([None] * there.shape[1] if there.is_floating_point() else in_all(there, answers))
            outputs.append(output.clone())
            return outputs[-1]

        hook = objective.model.register_forward_hook(listen)
        try:
            loss = objective(prompts, answers, noise, torch.tensor(0.0))
        finally:
            hook.remove()
        terms = [column.nansum() for column in loss.tokens.unbind(dim=1)] + list(loss.parts.values())
        gradients = [
            torch.cat(torch.autograd.grad(term, outputs, retain_graph=True, materialize_grads=True), dim=1)
            for term in terms
            if term.requires_grad
        ]
        return cls(reads, torch.cat(outputs, dim=1).detach(), torch.stack(gradients))

    def differs(self, other: Caught) -> Tensor:
        """Which states are not those of the other, [B, S]."""
        return moved(self.states - other.states, other.states.abs().amax())


def in_all(tokens: Tensor, answers: Tensor) -> list[int | None]:
    """The tokens [B, S] of the first example, where all have the same one there or the same place of their answers
    [B, A]; None elsewhere."""
    places = (tokens[:, :, None] == answers[:, None]).int()  # [B, S, A]
    alike = same(tokens) | (places.amax(dim=2).all(dim=0) & same(places.argmax(dim=2)))
    return [token if held else None for token, held in zip(tokens[0].tolist(), alike.tolist(), strict=True)]


def same(rows: Tensor) -> Tensor:
    """Which columns of [B, S] hold one value, [S]."""
    return (rows == rows[0]).all(dim=0)


def unused(answers: Tensor, vocab_size: int) -> Tensor:
    """For every answer [B, A] as many different ids that are not in it, [B, A].

    Raises:
        LookaheadError: there are not so many ids.
    """
    length = answers.shape[1]
    if vocab_size < 2 * length:
        raise LookaheadError(f"{vocab_size} ids are too few to exchange {length} tokens for others: take more labels")
    ids = torch.arange(vocab_size, device=answers.device)
    free = (answers[:, :, None] != ids).all(dim=1)  # [B, V]
    return free.int().argsort(dim=1, descending=True, stable=True)[:, :length]


def moved(change: Tensor, size: Tensor) -> Tensor:
    """Which vectors [..., D] changed at all, [...], beside what is as large as `size`."""
    return change.abs().amax(dim=-1) > CHANGED * size
