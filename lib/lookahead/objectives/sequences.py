"""What the objectives share: a prompt, then one input for every answer token but the last.

    position    0 ...  P - 2   P - 1   P     P + 1   ...
    input       the prompt     =       h_0   h_1     ... h_{A-2}
    predicts                   a_0     a_1   a_2     ... a_{A-1}

The inputs h behind the prompt are the *hints*. The methods differ in what they put there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Asked, Loss, Model
from lookahead.errors import LookaheadError


def read(model: Model, prompts: Tensor, hints: Tensor) -> Tensor:
    """Logits of every answer token [B, A, V], from prompts [B, P] and hints [B, A - 1]."""
    hidden = model(torch.cat([prompts, hints], dim=1), last=hints.shape[1] + 1)
    return model.unembed(hidden)


def answer_loss(logits: Tensor, answers: Tensor, taught: Tensor | None = None) -> Loss:
    """Cross entropy on the answer alone.

    Args:
        logits: [B, A, V].
        answers: [B, A].
        taught: indices of the tokens to teach; all if not given.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    tokens = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none").view_as(answers)
    total = tokens.mean()
    if taught is not None:
        chosen = tokens.index_select(1, taught)
        total = chosen.mean()
        tokens = torch.full_like(tokens, torch.nan).index_copy(1, taught, chosen)
    return Loss(total, tokens, logits.argmax(dim=-1))


Hint = Callable[[Tensor], Tensor]
"""What a model reads of an answer, or of what it has of one: [B, A] -> [B, A - 1]."""


def all_but_last(answers: Tensor) -> Tensor:
    """The answer itself."""
    return answers[:, :-1]


@dataclass
class Prompts:
    """Prompts that a model has read."""

    tokens: Tensor
    """[B, P]."""
    hidden: Tensor
    """Of the last token, [B, 1, D]."""
    cache: Any
    """To go on from, as often as wanted."""


def read_prompts(model: Model, tokens: Tensor) -> Prompts:
    """Reads prompts [B, P], for what comes after them."""
    return Prompts(tokens, *model.step(tokens, last=1))


@torch.no_grad()
def generate(
    model: Model,
    prompts: Tensor | Prompts,
    length: int,
    given: Tensor | None = None,
    hint: Hint = all_but_last,
) -> Tensor:
    """Greedy answers [B, length], token by token with the model's cache.

    Args:
        prompts: [B, P], or those that were read.
        given: forced first tokens [B, K].
        hint: what the model reads of the answer so far.
    """
    if isinstance(prompts, Tensor):
        prompts = read_prompts(model, prompts)
    hidden, cache = prompts.hidden, prompts.cache
    answers = prompts.tokens.new_zeros(len(prompts.tokens), length)
    known = 0
    if given is not None:
        known = given.shape[1]
        if known > length:
            raise LookaheadError(f"{known} forced tokens, but an answer has {length}")
        answers[:, :known] = given
    if 0 < known < length:
        hidden, cache = model.step(hint(answers)[:, :known], cache, last=1)
    for i in range(known, length):
        answers[:, i] = model.unembed(hidden[:, -1]).argmax(dim=-1)
        if i + 1 < length:
            hidden, cache = model.step(hint(answers)[:, i : i + 1], cache, last=1)
    return answers


@torch.no_grad()
def ask(
    model: Model,
    prompts: Tensor,
    answers: Tensor,
    forced: Tensor | None,
    hint: Hint = all_but_last,
    taught: Tensor | None = None,
) -> Asked:
    """`Objective.ask` of what is taught with hints and answers by `generate`, the prompts read once.

    Args:
        forced: None where it cannot go on from forced tokens.
        taught: as in `answer_loss`.
    """
    known, length = read_prompts(model, prompts), answers.shape[1]
    hidden = known.hidden
    if length > 1:
        behind, _ = model.step(hint(answers), known.cache)
        hidden = torch.cat([hidden, behind], dim=1)
    loss = answer_loss(model.unembed(hidden), answers, taught)
    led = None if forced is None else generate(model, known, length, forced, hint)
    return loss, generate(model, known, length, hint=hint), led
