"""Many seeds at once: for small models one program trains S members as one, each to where its own run goes."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.stack import State, Template, take_up
from lookahead.training.checkpoints import Checkpoints, Resume, load_state
from lookahead.training.loop import (
    Clock,
    Interrupted,
    NonFiniteLoss,
    OutOfTime,
    Trained,
    check_finite,
    check_weights,
    postponed_interrupt,
)
from lookahead.training.progress import Progress
from lookahead.training.settings import Settings
from lookahead.training.stacked_step import OptimizerState, StackedOptimizers, StackedStep, solo_tensors
from lookahead.training.step import Engine

MAY_DIFFER = ("seed", "learning_rate", "matrix_learning_rate", "start_from")
"""Fields of a run in which the members of a stack may differ."""

StackedMeasure = Callable[[Template, State, list[Task]], list[dict[str, Any]]]
"""What is measured at every evaluation, of the members with these weights (see `lookahead.stack`), a row each."""

Finished = Callable[[list[int], list[Trained], Template, State], None]
"""Told at once which members (by their number) have finished, and with which weights."""


@dataclass
class Member:
    """One of the trainings that are done as one; the fields as in `training.loop.train`."""

    objective: Objective
    """On the CPU; the weights are put into it when it has finished."""
    task: Task
    settings: Settings
    seed: int = 0
    checkpoints: Checkpoints | None = None
    resume: Resume = "latest"


def train_stacked(
    members: Sequence[Member],
    measure: StackedMeasure,
    *,
    device: torch.device | str = "cpu",
    finished: Finished = lambda numbers, trained, template, state: None,
    checkpoint_every: int | None = None,
    label: str = "",
    deadline: float | None = None,
    measures_after: float = 0.0,
    engine: Engine = "auto",
) -> list[Trained | Exception]:
    """Trains members that differ in their seeds and learning rates alone, as one.

    In exact arithmetic each goes where `train` would take it; in float32 the two part as two runs do whose weights
    differ by 1e-7 somewhere. Those that stand at different steps, after an interruption, are trained one group after
    the other. A member that has reached `stop_at`, or whose loss is no number, leaves; the others go on.

    Args:
        measure: called before the first step, every `evaluate_every` steps and at the end.
        device: where they are trained.
        finished: called as soon as some have finished.
        checkpoint_every: in steps; if None by the clock alone, once a minute. Each member's checkpoint is that of
            `train`: either goes on from the other's.
        label, deadline, measures_after, engine: as in `train`.

    Returns:
        for each member what `train` would return (`seconds` is its share of the time, that of a stack being divided
        evenly among those in it), or the LookaheadError that ended it.

    Raises:
        LookaheadError: members that cannot be trained as one.
        Interrupted: Ctrl-C; all were saved.
        OutOfTime: the deadline; all were saved, and at least one step was done.
    """
    if not members:
        return []
    check_alike([member.settings for member in members])
    outcomes: list[Any] = [None] * len(members)
    groups: dict[int, list[_Entrant]] = {}
    for number, member in enumerate(members):
        try:
            entrant = _enter(number, member)
        except LookaheadError as error:
            outcomes[number] = error
        else:
            groups.setdefault(entrant.trained.steps, []).append(entrant)
    clock, before = Clock(deadline, measures_after), 0
    for steps in sorted(groups):
        if before and clock.late():
            raise OutOfTime("stopped between two groups of members; the same call goes on from there", before)
        group = _Group(groups[steps], torch.device(device), measure, finished, outcomes, clock, engine)
        group.train(label, checkpoint_every, before)
        before += group.step - steps
    return outcomes


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
class _Entrant:
    """A member where it stands."""

    number: int
    member: Member
    trained: Trained
    optimizer: OptimizerState
    losses: list[float]
    """Those since its last evaluation."""


def _enter(number: int, member: Member) -> _Entrant:
    """Takes up the member's checkpoint, where there is one."""
    found = None
    if member.checkpoints is not None and member.resume != "never":
        found = member.checkpoints.load(previous=member.resume == "previous")
    if found is None:
        return _Entrant(number, member, Trained(), {}, [])
    tensors, record = found
    load_state(member.objective, _named(tensors, "objective."))
    trained = Trained(steps=record["steps"], curve=record["curve"], seconds=record["seconds"])
    return _Entrant(number, member, trained, _named(tensors, "optimizer."), record["losses"])


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class _Group:
    """Members that stand at the same step, trained to their ends.

    A row is a place in the stack. Where a step is compiled for so many members, those that have left stay in it,
    unheeded, until half are gone: to compile anew takes longer than to train them on.
    """

    def __init__(
        self,
        entrants: list[_Entrant],
        device: torch.device,
        measure: StackedMeasure,
        finished: Finished,
        outcomes: list[Any],
        clock: Clock,
        engine: Engine,
    ) -> None:
        self.rows, self.measure, self.finished, self.outcomes, self.clock = entrants, measure, finished, outcomes, clock
        self.settings, self.step = entrants[0].member.settings, entrants[0].trained.steps
        members = [entrant.member for entrant in entrants]
        self.template = Template(copy.deepcopy(members[0].objective)).to(device)
        self.optimizers = StackedOptimizers(
            [member.objective for member in members],
            [member.settings for member in members],
            device,
            [entrant.optimizer for entrant in entrants],
            self.step,
        )
        self.take = StackedStep(
            self.template,
            [member.task for member in members],
            self.settings,
            [member.seed for member in members],
            self.optimizers,
            engine,
        )
        self.losses = list(torch.tensor([entrant.losses for entrant in entrants], device=device).T)
        for entrant in entrants:
            entrant.trained.members, entrant.trained.engine = len(entrants), self.take.engine
        self.counted = time.monotonic()

    @property
    def alive(self) -> list[int]:
        """Rows of the members that are still trained."""
        return [row for row, entrant in enumerate(self.rows) if self.outcomes[entrant.number] is None]

    def train(self, label: str, checkpoint_every: int | None, before: int) -> None:
        """To the end of all, or to an interruption; `before`: steps that others have done in this sitting."""
        settings, device, first = self.settings, self.take.device, self.step
        self.clock.seen = time.monotonic()
        if not self.rows[0].trained.curve:
            self.evaluate()
        elif len(self.rows[0].trained.curve) > 1:
            self.leave_at_goal()  # interrupted after its last step
        progress = Progress(settings.steps, self.step, f"{label} x {len(self.rows)}".strip())
        with postponed_interrupt() as interrupted:
            try:
                while self.alive and self.step < settings.steps:
                    self.losses.append(self.take(self.step))
                    self.step += 1
                    if device.type == "cpu" or self.step % 10 == 1:
                        self.check_losses()
                        if self.alive:
                            self.tell(progress)
                    if self.step % settings.evaluate_every == 0 or self.step == settings.steps:
                        self.check_losses()
                        self.evaluate()
                        self.leave_at_goal()
                    late = self.clock.late() and bool(self.alive)
                    if interrupted() or late:
                        self.save()
                        told = f"stopped after step {self.step} of {settings.steps}; the same call goes on from there"
                        raise OutOfTime(told, before + self.step - first) if late else Interrupted(told)
                    regular = checkpoint_every is not None and self.step % checkpoint_every == 0
                    if self.alive and (regular or self.clock.save_is_due()):
                        with self.clock.saving():
                            self.save()
            finally:
                progress.close()

    def tell(self, progress: Progress) -> None:
        """Reports the means of those that are left."""
        judged = [self.rows[row].trained.curve[-1][self.settings.judged_by] for row in self.alive]
        progress.update(self.step, self.losses[-1][self.alive].mean().item(), sum(judged) / len(judged))

    def evaluate(self) -> None:
        """A row of the curve for each."""
        alive = self.alive
        if not alive:
            return
        losses = torch.stack(self.losses)[:, alive].mean(dim=0).tolist() if self.losses else [None] * len(alive)
        self.losses.clear()
        with self.clock.measuring():
            measured = self.measure(self.template, self.state(alive), [self.take.tasks[row] for row in alive])
        for row, loss, found in zip(alive, losses, measured, strict=True):
            self.rows[row].trained.curve.append({"step": self.step, "training_loss": loss, **found})

    def state(self, rows: list[int]) -> State:
        """The weights of some."""
        state = {name: tensor.detach() for name, tensor in self.optimizers.state.items()}
        return state if len(rows) == len(self.rows) else {name: tensor[rows] for name, tensor in state.items()}

    def leave_at_goal(self) -> None:
        """Those that have done all steps, or reached `stop_at`, leave with their weights."""
        self.check_weights()
        stop_at, done = self.settings.stop_at, []
        for row in self.alive:
            trained = self.rows[row].trained
            trained.steps = self.step
            trained.stopped_early = stop_at is not None and trained.curve[-1][self.settings.judged_by] >= stop_at
            if trained.stopped_early or self.step == self.settings.steps:
                done.append(row)
        if not done:
            return
        self.share()
        state = self.state(done)
        host = {name: tensor.cpu() for name, tensor in state.items()}
        for i, row in enumerate(done):
            take_up(self.rows[row].member.objective, host, i)
        entrants = [self.rows[row] for row in done]
        self.finished([one.number for one in entrants], [one.trained for one in entrants], self.template, state)
        for entrant in entrants:
            self.outcomes[entrant.number] = entrant.trained
        self.counted = self.clock.seen = time.monotonic()  # what `finished` took is nobody's training
        self.shrink()

    def share(self) -> None:
        """Adds the time since the last call to those that are trained, evenly."""
        now = time.monotonic()
        alive = self.alive
        for row in alive:
            self.rows[row].trained.seconds += (now - self.counted) / len(alive)
        self.counted = now

    def check_losses(self) -> None:
        """Members with a loss that is no number leave."""
        if self.losses:
            pending = torch.stack(self.losses)
            self.drop(pending.isfinite().all(dim=0), lambda row: check_finite(list(pending[:, row]), self.step - 1))

    def check_weights(self) -> None:
        """Members with a weight that is no number leave."""
        weights = self.optimizers.weights
        self.drop(weights.isfinite().all(dim=1), lambda row: check_weights([weights[row]], self.step))

    def drop(self, good: Tensor, say: Callable[[int], None]) -> None:
        """Members that are not good leave with the error that `say` raises."""
        fine = good.tolist()
        bad = [row for row in self.alive if not fine[row]]
        if not bad:
            return
        self.share()
        for row in bad:
            try:
                say(row)
            except NonFiniteLoss as error:
                self.outcomes[self.rows[row].number] = error
        self.shrink()

    def shrink(self) -> None:
        """Takes out of the stack who has left."""
        alive = self.alive
        if not alive or len(alive) == len(self.rows):
            return
        if self.take.engine == "eager" or 2 * len(alive) <= len(self.rows):
            self.take.keep(alive)
            self.rows = [self.rows[row] for row in alive]
            self.losses = [losses[alive] for losses in self.losses]

    def save(self) -> None:
        """A checkpoint of each, as `train` would write it."""
        self.check_losses()
        self.check_weights()
        self.share()
        kept = [row for row in self.alive if self.rows[row].member.checkpoints is not None]
        pending = torch.stack(self.losses).T.tolist() if self.losses else [[] for _ in self.rows]
        for row, (state, optimizer) in zip(kept, self.optimizers.members(kept), strict=True):
            member, trained = self.rows[row].member, self.rows[row].trained
            record = {"steps": self.step, "curve": trained.curve, "seconds": trained.seconds, "losses": pending[row]}
            assert member.checkpoints is not None
            member.checkpoints.save(solo_tensors(member.objective, state, optimizer), record)
