"""What an objective asks of a state that has read the prompt alone: found by changing answers, whatever the method."""

from __future__ import annotations

import copy
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of

Ask = Literal["no", "given", "alone"]
"""Not asked for; asked for where other answer tokens are shown; asked for with nothing else shown."""

CHANGED = 1e-9
"""A larger change, as a share of the largest value, is one: everything is computed in float64."""


def asked(objective: Objective, task: Task, examples: int = 16) -> list[Ask]:
    """What the blind states are asked for: an entry for every answer token from the decision on.

    A *blind state* is an output of the model that depends on the prompt's last token and on no answer token from the
    decision on. A term of the loss (that of an answer token, or a named part) asks it for a token if the gradient of
    the term with respect to the state depends on which token that is; and for the token alone if it depends on it in
    the same way whatever the other tokens are. A target that is predicted from the state and from other tokens of the
    teacher is "given", and so are those tokens.

    The objective is left as it is. Whether it was trained does not matter, but for weights that are exactly 0.

    Args:
        examples: the task's first ones; each tells the same, but for objectives that draw noise.
    """
    device = device_of(objective)
    objective = copy.deepcopy(objective).double().eval()
    indices = torch.arange(examples, device=device)
    prompts, answers = task.sample("train", indices)
    noise = objective.noise(("asked",), indices)
    places = range(task.decision, task.answer_length)
    others = unused(answers, task.vocab_size)

    def caught(prompts: Tensor, *changed: int) -> tuple[Tensor, Tensor]:
        given = answers.clone()
        given[:, list(changed)] = others[:, list(changed)]
        return states_and_gradients(objective, prompts, given, noise)

    states, base = caught(prompts)
    unread = prompts.clone()
    unread[:, -1] = objective.dummy
    blind = differ(caught(unread)[0], states) & ~differ(caught(prompts, *places)[0], states)  # [b, S]
    base = base[:, blind]  # [terms, N, D] from here on
    one = {k: caught(prompts, k)[1][:, blind] - base for k in places}
    size = base.abs().amax() if base.numel() else base.new_zeros(())
    asks = torch.stack([moved(one[k], size) for k in places])  # [K, terms]
    alone = asks.clone()
    for j, k in combinations(places, 2):
        both = caught(prompts, j, k)[1][:, blind] - base
        mixed = moved(both - one[j] - one[k], size)
        for place in (j, k):
            alone[place - places[0]] &= ~mixed
    return ["alone" if alone[i].any() else "given" if asks[i].any() else "no" for i in range(len(places))]


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


def states_and_gradients(
    objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What the model gives in one forward pass of the objective, [B, S, D], and every term's gradients there, [terms,
    B, S, D]."""
    outputs: list[Tensor] = []

    def listen(model: Any, inputs: Any, output: Tensor) -> Tensor:
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
    return torch.cat(outputs, dim=1).detach(), torch.stack(gradients)


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Which states are not the same, [B, S], of [B, S, D]."""
    return (one - other).abs().amax(dim=-1) > CHANGED * other.abs().amax()


def moved(change: Tensor, size: Tensor) -> Tensor:
    """Which terms' gradients changed at some state, [terms], of [terms, N, D]."""
    return change.abs().flatten(1).amax(dim=1) > CHANGED * size if change.numel() else change.new_zeros(len(change)) > 0
