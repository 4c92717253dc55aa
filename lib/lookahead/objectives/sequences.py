"""What the objectives share: a prompt, then one input for every answer token but the last.

    position    0 ...  P - 2   P - 1   P     P + 1   ...
    input       the prompt     =       h_0   h_1     ... h_{A-2}
    predicts                   a_0     a_1   a_2     ... a_{A-1}

The inputs h after the prompt are the *hints*. The methods differ in what they put there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Loss, Model, Objective, Task
from lookahead.errors import LookaheadError


@dataclass
class Prefilled:
    """Prompts that a model has read."""

    tokens: Tensor
    """[B, P]."""
    hidden: Tensor
    """Hidden states of the last prompt token, [B, 1, D], or of all of them, [B, P, D]."""
    cache: Any
    """The model's cache of the prompt, to be extended as often as wanted."""


class PromptFirst(Objective):
    """An objective whose sequences are a prompt and hints, as drawn above, read from left to right."""

    def prefill(self, prompts: Tensor) -> Prefilled:
        return prefill(self.model, prompts)

    def dummies(self, prompts: Tensor | Prefilled) -> Tensor:
        """Hints [B, A - 1] that are all the dummy `$`."""
        tokens = tokens_of(prompts)
        return tokens.new_full((len(tokens), self.answer_length - 1), self.dummy)


def prefill(model: Model, prompts: Tensor, whole: bool = False) -> Prefilled:
    """Prompts [B, P], read by the model.

    Args:
        whole: keep the hidden states of all prompt tokens, not of the last one alone.
    """
    return Prefilled(prompts, *model.decode(prompts, last=None if whole else 1))


def tokens_of(prompts: Tensor | Prefilled) -> Tensor:
    """Prompts as tokens, [B, P]."""
    return prompts if isinstance(prompts, Tensor) else prompts.tokens


def states(model: Model, prompts: Tensor | Prefilled, hints: Tensor, whole: bool = False) -> Tensor:
    """The hidden state that predicts each answer token [B, A, D], from prompts [B, P] and hints [B, A - 1].

    Args:
        whole: the states of all prompt tokens, too, [B, P + A - 1, D]; prompts that were read were so with `whole`.
    """
    if isinstance(prompts, Tensor):
        return model(torch.cat([prompts, hints], dim=1), last=None if whole else hints.shape[1] + 1)
    hidden = prompts.hidden if whole else prompts.hidden[:, -1:]
    if hints.shape[1]:
        return torch.cat([hidden, model.decode(hints, prompts.cache)[0]], dim=1)
    return hidden


def read(model: Model, prompts: Tensor | Prefilled, hints: Tensor) -> Tensor:
    """Logits of every answer token [B, A, V], from prompts [B, P] and hints [B, A - 1]."""
    return model.unembed(states(model, prompts, hints))


def needed(noise: Tensor | None) -> Tensor:
    """The noise, for an objective that draws from it what it teaches.

    Raises:
        LookaheadError: there is none.
    """
    if noise is None:
        raise LookaheadError("what is taught is drawn from noise: Objective.noise gives it")
    return noise


def refuse_different_lengths(task: Task, why: str) -> None:
    """For objectives to which the place of the last token matters.

    Raises:
        LookaheadError: the task's answers differ in length; the message begins with `why`.
    """
    if not task.one_length:
        raise LookaheadError(f"{why}: {task.name} must have answers of one length")


def exact(values: Tensor) -> Tensor:
    """In float32, or in float64 where they are: a loss is never taken in fewer digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def answer_loss(
    logits: Tensor,
    answers: Tensor,
    mask: Tensor | None = None,
    taught: Tensor | None = None,
    weights: Tensor | None = None,
) -> Loss:
    """Cross entropy on the answer alone: the mean over examples of the mean over the tokens that are taught.

    Args:
        logits: [B, A, V].
        answers: [B, A].
        mask: which tokens of each answer are taught, [B, A], bool; all if not given.
        taught: indices of the tokens to teach; all if not given.
        weights: of every token in the mean, [A], where all are taught; alike if not given.
    """
    logits = exact(logits)
    tokens = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none").view_as(answers)
    if taught is not None:
        tokens = torch.full_like(tokens, torch.nan).index_copy(1, taught, tokens.index_select(1, taught))
    chosen = tokens if taught is None else tokens.index_select(1, taught)
    if weights is not None:
        counted = weights.to(tokens.dtype) * (torch.ones_like(tokens) if mask is None else mask)
        total = ((counted * tokens).sum(dim=1) / counted.sum(dim=1)).mean()
        tokens = tokens if mask is None else torch.where(mask, tokens, torch.nan)
    elif mask is None:
        total = chosen.mean()
    else:
        counts = mask if taught is None else mask.index_select(1, taught)
        total = (torch.where(counts, chosen, 0).sum(dim=1) / counts.sum(dim=1)).mean()
        tokens = torch.where(mask, tokens, torch.nan)
    return Loss(total, tokens, logits.argmax(dim=-1))


def places_to_come(answers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Whether a_j, seen from the state that predicts a_i, is to come and not before place j: at [:, i, j], [B, A, A].

    Args:
        answers: [B, A].
        mask: which answer tokens count, [B, A], bool; all if not given. No other is to come.
    """
    places = torch.arange(answers.shape[1], device=answers.device)
    before = places < places[:, None]  # of the second place and the first
    same = (answers[:, :, None] == answers[:, None]) & before  # [B, j, k]: a_k before a_j, and the same
    last = torch.where(same, places, -1).amax(dim=2)  # the place of the same token before j, [B, j]
    coming = ~before & (last[:, None] < places[:, None])
    return coming if mask is None else coming & mask[:, None]


def begun(prompts: Tensor, given: Tensor | None, length: int) -> Tensor:
    """The forced first tokens of answers, [B, K]; none of them if not given.

    Raises:
        LookaheadError: more of them than an answer has.
    """
    given = prompts[:, :0] if given is None else given
    if given.shape[1] > length:
        raise LookaheadError(f"{given.shape[1]} forced tokens, but an answer has {length}")
    return given


Hint = Callable[[Tensor], Tensor]
"""The hints of an answer, or of what is known of it: [B, A] -> [B, A - 1]."""


Unembed = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, 1, V] from the last hidden state [B, 1, D] and the token there [B, 1]."""


def all_but_last(answers: Tensor) -> Tensor:
    """The answer itself as hints."""
    return answers[:, :-1]


@torch.no_grad()
def generate(
    model: Model,
    prompts: Tensor | Prefilled,
    length: int,
    given: Tensor | None = None,
    hint: Hint = all_but_last,
    unembed: Unembed | None = None,
) -> Tensor:
    """Greedy answers [B, length], token by token with the model's cache.

    Args:
        prompts: tokens [B, P], or prompts that were read.
        given: forced first tokens [B, K].
        hint: what the model reads of the answer so far.
        unembed: what predicts a token from the state before it; the model's own output if not given.

    Raises:
        LookaheadError: more forced tokens than an answer has.
    """
    if isinstance(prompts, Tensor):
        prompts = prefill(model, prompts)
    hidden, cache = prompts.hidden, prompts.cache
    answers = prompts.tokens.new_zeros(len(prompts.tokens), length)
    given = begun(prompts.tokens, given, length)
    known = given.shape[1]
    answers[:, :known] = given
    if 0 < known < length:
        hidden, cache = model.decode(hint(answers)[:, :known], cache, last=1)
    for i in range(known, length):
        if unembed is None:
            logits = model.unembed(hidden[:, -1:])
        else:
            logits = unembed(hidden[:, -1:], hint(answers)[:, i - 1 : i] if i else prompts.tokens[:, -1:])
        answers[:, i] = logits[:, -1].argmax(dim=-1)
        if i + 1 < length:
            hidden, cache = model.decode(hint(answers)[:, i : i + 1], cache, last=1)
    return answers
