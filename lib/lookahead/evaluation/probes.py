"""What a linear map can read off a network's states, layer by layer: is a token there before it is asked for?

A probe is a linear classifier that is fitted to the states of a trained network and changes nothing in it (Alain and
Bengio, 2016, "Understanding intermediate layers using linear classifier probes").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Model, Objective, Split, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation.measures import in_pieces, rows_at_once
from lookahead.kinds import Count, fit
from lookahead.machine import device_of

State = Literal["prompt", "decision"]
"""A blind state: that of the prompt's last token, or that before the decision (see `objectives.ladder`)."""
Readable = dict[str, dict[str, list[list[float]]]]
"""Blind state -> "answer" or "decoy" -> [layer][rung] -> share of held-out examples whose token is read, in [0, 1]."""

RIDGE = 1e-3
"""The penalty, as a share of the states' mean variance. A thousand times less, or ten times more, moves what is read of
the answer off a network in training by 0.01."""


def probe_rungs(
    objective: Objective,
    task: Task,
    *,
    at: Sequence[State] = ("prompt", "decision"),
    split: Split = "validation",
    count: int = 1024,
    fitted_on: int = 2048,
) -> Readable:
    """The rungs that a linear map reads off the blind states, after every layer.

    Rung r is the answer's token r look-ups from its last one: 0 is the goal, the top rung the decision. With each
    comes a control in the sense of Hewitt and Liang (2019): the token at the same place of the decoy, the wrong arm.
    It stands in the prompt as the answer's does and takes as many look-ups, but nothing asks for it, so what is read of
    both is no choice. An untrained network is the other control.

    The network reads the prompt and the answer up to the decision as it answers; its weights stay as they are.

    Args:
        at: the blind states, one or both.
        split: whose first `count` examples the probes are judged on.
        fitted_on: training examples that the probes are fitted to: the first ones of the task.

    Returns:
        for every blind state, of the "answer" and of the "decoy", the accuracies [L + 1][R]: layer 0 is what enters
        the first block, layer k what leaves block k; rung by rung, the decision's last.

    Raises:
        CannotContinue: the decision's state is asked of an objective that does not answer in the task's order.
        LookaheadError: no examples, a task that the objective was not made for or whose answers differ in length, a
            model without blocks.
    """
    at = fit("at", at, Sequence[State])
    count, fitted_on = fit("count", count, Count), fit("fitted_on", fitted_on, Count)
    if not at:
        raise LookaheadError("no state to probe: at must hold 'prompt', 'decision' or both")
    objective.check(task)
    if type(task).taught is not Task.taught:
        raise LookaheadError(f"rungs are counted from the last token: {task.name} must have answers of one length")
    known = task.decision if "decision" in at else 0
    fitted, labels = blind_states(objective, task, "train", fitted_on, known)
    held, truth = blind_states(objective, task, split, count, known)
    found: Readable = {}
    for state in at:
        place = known if state == "decision" else 0
        accuracy = linear_accuracy(
            fitted[:, :, place], labels.flatten(1), held[:, :, place], truth.flatten(1), task.vocab_size
        )
        answer, decoy = accuracy.unflatten(1, labels.shape[1:]).unbind(1)  # [L + 1, R] each
        found[state] = {"answer": answer.tolist(), "decoy": decoy.tolist()}
    return found


@torch.no_grad()
def blind_states(objective: Objective, task: Task, split: Split, count: int, known: int) -> tuple[Tensor, Tensor]:
    """The states of the prompt's last token and of the first answer tokens, and the rungs of both arms.

    Args:
        count: the first examples of the split.
        known: K, how many of the answer's tokens are read; none of them may come after the decision.

    Returns:
        states [L + 1, count, K + 1, D] and tokens [count, 2, R]: the answer's and the decoy's, rung 0 first.

    Raises:
        CannotContinue: the objective does not read the answer's first tokens there.
    """
    device = device_of(objective)

    def piece(first: int, last: int) -> tuple[Tensor, Tensor]:
        prompts, answers = task.sample(split, torch.arange(first, last, device=device))
        if known and not first:  # one example is enough to be told
            objective.answer(prompts[:1], answers[:1, :known])
        decoys = task.decoys(prompts, answers)
        if decoys is None:
            raise LookaheadError(
                f"{task.title} knows no decoys, so there is no other arm whose rungs could be read off"
            )
        both = torch.stack([answers, decoys], dim=1)  # [b, 2, A]
        tokens = torch.cat([prompts, answers[:, :known]], dim=1)
        return residual_stream(objective.model, tokens, known + 1), both[:, :, task.decision :].flip(2)

    pieces = list(in_pieces(piece, count, rows_at_once(objective), 1, device))
    states, rungs = zip(*pieces, strict=True)
    return torch.cat(states, dim=1), torch.cat(rungs)


def residual_stream(model: Model, tokens: Tensor, last: int) -> Tensor:
    """What enters a model's first block and what leaves every block, at the last positions: [L + 1, B, last, D].

    It listens to the model's own pass, so a layer is what the model computes there, whatever its kind.

    Args:
        tokens: [B, T].

    Raises:
        LookaheadError: the model is no stack of `blocks`.
    """
    blocks: Any = getattr(model, "blocks", None)
    if not blocks:
        raise LookaheadError(f"a {model.name} has no `blocks` to look behind: a model that is probed lists its own")
    stream: list[Tensor] = []

    def enters(block: Any, inputs: Any) -> None:
        stream.append(inputs[0][:, -last:])

    def leaves(block: Any, inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output  # a recurrent block gives its memory, too
        stream.append(hidden[:, -last:])

    hooks = [blocks[0].register_forward_pre_hook(enters), *(block.register_forward_hook(leaves) for block in blocks)]
    try:
        model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(stream)


def linear_accuracy(
    states: Tensor, labels: Tensor, held_states: Tensor, held_labels: Tensor, classes: int, ridge: float = RIDGE
) -> Tensor:
    """How often a linear classifier names the labels of states that it was not fitted to, [..., K], in [0, 1].

    The classifier is ridge regression onto one-hot labels, which names the class with the largest output (Hastie,
    Tibshirani and Friedman, 2009, section 4.2). Logistic regression is the other common choice; this one has a closed
    form, so that the same states give the same number on every machine and at every training step.

    Args:
        states: fitted to, [..., N, D]; a classifier for each of the leading dimensions, such as layers.
        labels: [N, K], each from 0 to classes - 1; a classifier for each of K.
        held_states: judged on, [..., M, D].
        held_labels: [M, K].
        ridge: the penalty, as a share of the states' mean variance.

    Raises:
        LookaheadError: states and labels of different number or width, or labels outside of the classes.
    """
    for name, some, those in (("fitted", states, labels), ("held-out", held_states, held_labels)):
        if some.shape[-2] != len(those) or not len(those):
            raise LookaheadError(f"{some.shape[-2]} {name} states and {len(those)} labels: one for each, at least one")
        if those.min() < 0 or those.max() >= classes:
            raise LookaheadError(f"the {name} labels must be from 0 to {classes - 1}")
    if states.shape[-1] != held_states.shape[-1] or labels.shape[1] != held_labels.shape[1]:
        raise LookaheadError(
            f"fitted to states of width {states.shape[-1]} with {labels.shape[1]} labels, judged on width "
            f"{held_states.shape[-1]} with {held_labels.shape[1]}: both must be alike"
        )
    x, y = states.double(), F.one_hot(labels, classes).double().flatten(1)  # [..., N, D], [N, K classes]
    middle, share = x.mean(dim=-2, keepdim=True), y.mean(dim=0)
    # Layer 0 is the same for all examples where the same token always stands: there the penalty is of rounding alone.
    smallest = 1e-12 * x.square().mean(dim=(-2, -1)) + torch.finfo(x.dtype).tiny
    x, y = x - middle, y - share
    gram = x.mT @ x / len(y)  # [..., D, D]
    penalty = ridge * gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + smallest
    weights = torch.linalg.solve(gram + penalty[..., None, None] * torch.eye(x.shape[-1]).to(x), x.mT @ y / len(y))
    scores = (held_states.double() - middle) @ weights + share
    named = scores.unflatten(-1, (-1, classes)).argmax(dim=-1)  # [..., M, K]
    return (named == held_labels).double().mean(dim=-2)
