"""A network that is trained, alone or with others as one: what it begins with, where it stands, what it leaves."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.machine import arithmetic
from lookahead.training.checkpoints import Checkpoints, Resume, load_state, split_names
from lookahead.training.settings import Settings

MAY_DIFFER = ("seed", "start_from")
"""Fields of a run in which the members of one training may differ."""


@dataclass
class Member:
    """One of the networks that are trained as one."""

    objective: Objective
    """What is trained; it holds the final weights when it has finished."""
    task: Task
    """Gives the training examples."""
    settings: Settings
    seed: int = 0
    """Of the order of a fixed training set, and of the noise."""
    checkpoints: Checkpoints | None = None
    """Where to save and resume; nothing is saved if None."""
    resume: Resume = "latest"
    """What to start from where a checkpoint is found."""


@dataclass
class Trained:
    """What a training left behind, beside the weights in the objective."""

    steps: int = 0
    """Steps done."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """One row an evaluation, the first before any step: `step` (steps done by then), `training_loss` (mean since
    the last row), the measures."""
    stopped_early: bool = False
    seconds: float = 0.0
    """Time spent training and measuring, over all sittings; of members trained as one, an even share."""
    engine: str = "eager"
    """How the steps were computed: what `Step.engine` says."""
    members: int = 1
    """How many were trained as one."""
    machines: list[dict[str, Any]] = field(default_factory=list)
    """What `machine.arithmetic` said in its sittings, where it changed; the last is that of the last sitting."""


class NonFiniteLoss(LookaheadError):
    """The loss, or a weight, left the numbers; the last good checkpoint stands."""


def check_alike(settings: Sequence[Settings]) -> None:
    """Raises a LookaheadError that says in what the members' settings, or runs, differ and must not."""
    for number, found in enumerate(settings):
        for item in dataclasses.fields(settings[0]):
            one, other = getattr(settings[0], item.name), getattr(found, item.name)
            if item.compare and item.name not in MAY_DIFFER and one != other:
                raise LookaheadError(
                    f"members 0 and {number} differ in {item.name} ({one!r} and {other!r}): those that are trained as "
                    f"one may differ in {', '.join(MAY_DIFFER)} alone"
                )


@dataclass
class Entrant:
    """A member where it stands when a sitting begins."""

    number: int
    member: Member
    trained: Trained
    optimizer: dict[str, Tensor]
    losses: list[float]
    """Losses of the steps since the last evaluation."""
    done: bool = False


def enter(number: int, member: Member, device: torch.device) -> Entrant:
    """The member with the state of its checkpoint, where there is one that can be used."""
    if member.resume not in ("latest", "never"):
        raise LookaheadError(f"resume is 'latest' or 'never', not {member.resume!r}")
    member.objective.zero_grad(set_to_none=True)

    def gone_on(tensors: dict[str, Tensor], record: dict[str, Any]) -> Entrant:
        objective, optimizer = split_names(tensors)
        load_state(member.objective, objective)
        trained = Trained(steps=record["steps"], curve=record["curve"], seconds=record["seconds"])
        trained.machines = record.get("machines", [])
        return Entrant(number, member, trained, optimizer, record["losses"])

    found = None
    if member.checkpoints is not None and member.resume != "never":
        found = member.checkpoints.take_up(gone_on)
    entrant = found or Entrant(number, member, Trained(), {}, [])
    _note_machine(entrant, arithmetic(device))
    return entrant


def _note_machine(entrant: Entrant, now: dict[str, Any]) -> None:
    """Adds what this sitting computes with, and tells where it is not what an earlier one did."""
    machines, checkpoints = entrant.trained.machines, entrant.member.checkpoints
    if machines and machines[-1] != now and checkpoints is not None:
        before, here = (", ".join(f"{name} {value}" for name, value in one.items()) for one in (machines[-1], now))
        warnings.warn(
            f"run {checkpoints.run_id} was begun with {before} and goes on with {here}: its weights will not be those "
            "of a run in one sitting, bit for bit",
            stacklevel=4,
        )
    if now not in machines[-1:]:
        machines.append(now)
