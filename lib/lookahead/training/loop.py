"""The training loop, over one member or many."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lookahead.errors import LookaheadError
from lookahead.training.member import Entrant, Member, NonFiniteLoss, Trained, check_alike, enter
from lookahead.training.sitting import Sitting
from lookahead.training.stacked import StackedStep
from lookahead.training.step import Engine, Step

Measure = Callable[[Step, list[int]], list[dict[str, Any]]]
"""What is measured at every evaluation, a row for each of some members of a step; it must hold the measure that
`Settings.judged_by` names."""

Finished = Callable[[list[int], list[Trained], Step, list[int]], None]
"""Called at once when members have finished: with their numbers, what they left, the step and their rows in it."""

Measured = Callable[[int, dict[str, Any]], None]
"""Called after every evaluation, for each member with its number and the row that its curve has got."""


def train(
    members: Sequence[Member],
    measure: Measure,
    *,
    device: torch.device | str = "cpu",
    finished: Finished = lambda numbers, trained, step, rows: None,
    measured: Measured = lambda number, row: None,
    checkpoint_every: int | None = None,
    label: str = "",
    deadline: float | None = None,
    measures_after: float = 0.0,
    engine: Engine = "auto",
    make_step: Callable[..., Step] = Step,
) -> list[Trained | Exception]:
    """Trains members that differ in their seed alone, as one where their model can be stacked.

    In exact arithmetic each goes where it would go alone; in float32 the two part as two runs do whose weights
    differ by 1e-7 somewhere. Those that stand at different steps, after an interruption, are trained one group after
    the other. A member that has reached `stop_at`, or whose loss is no number, leaves; the others go on.

    Args:
        measure: called before the first step, every `settings.evaluate_every` steps and at the end.
        device: where they are trained.
        checkpoint_every: in steps; at least once a minute, too. A stop signal saves as well.
        deadline: on the clock of `time.monotonic`; stops before, with a checkpoint, if it would come too late.
        measures_after: how many times as long as one `measure` the caller needs before the deadline.
        engine: how a step is computed (see `training.step`); its results differ by rounding only.
        make_step: makes the step of a member that is trained alone, from what `Step` takes.

    Returns:
        for each member what it left, or the LookaheadError that ended it: `NonFiniteLoss`, or a checkpoint that cannot
        be used.

    Raises:
        LookaheadError: members that cannot be trained as one.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all were saved.
        OutOfTime: the deadline; all were saved, and at least one step was done.
    """
    check_alike([member.settings for member in members])
    outcomes: list[Any] = [None] * len(members)
    groups: dict[tuple[int, int, int], list[Entrant]] = {}
    for number, member in enumerate(members):
        try:
            entrant = enter(number, member, torch.device(device))
        except LookaheadError as error:
            outcomes[number] = error
        else:
            alone = 0 if member.objective.model.stackable else number
            groups.setdefault((entrant.trained.steps, len(entrant.trained.curve), alone), []).append(entrant)
    with Sitting(deadline, measures_after, checkpoint_every) as sitting:
        for key in sorted(groups):
            if sitting.steps and sitting.late():
                raise sitting.stopped("stopped between two groups of members; the same call goes on from there")
            where = torch.device(device)
            group = Group(groups[key], where, measure, finished, measured, outcomes, sitting, engine, make_step)
            group.train(label)
    return outcomes


class Group:
    """Members that stand at the same step, trained to their ends.

    A row is a place in the step. Where a step is compiled for so many members, those that have left stay in it,
    unheeded, until half are gone: to compile anew takes longer than to train them on.
    """

    def __init__(
        self,
        entrants: list[Entrant],
        device: torch.device,
        measure: Measure,
        finished: Finished,
        measured: Measured,
        outcomes: list[Any],
        sitting: Sitting,
        engine: Engine,
        make_step: Callable[..., Step],
    ) -> None:
        self.rows, self.outcomes = entrants, outcomes
        self.measure, self.finished, self.measured = measure, finished, measured
        self.sitting, self.step = sitting, entrants[0].trained.steps
        members = [entrant.member for entrant in entrants]
        self.settings = members[0].settings
        if len(members) == 1:
            one = members[0]
            self.take = make_step(one.objective.to(device), one.task, one.settings, one.seed, engine)
        else:
            objectives, tasks, seeds = zip(*((m.objective, m.task, m.seed) for m in members), strict=True)
            self.take = StackedStep(objectives, tasks, self.settings, seeds, device, engine)
        if entrants[0].optimizer:
            self.take.resume([entrant.optimizer for entrant in entrants])
        self.losses = list(torch.tensor([entrant.losses for entrant in entrants], device=device).T)
        for entrant in entrants:
            entrant.trained.members, entrant.trained.engine = len(entrants), self.take.engine
        self.counted = time.monotonic()

    @property
    def alive(self) -> list[int]:
        """Rows of the members that are still trained."""
        return [row for row, entrant in enumerate(self.rows) if self.outcomes[entrant.number] is None]

    @property
    def to_measure(self) -> bool:
        """Whether an evaluation follows this step."""
        return self.step % self.settings.evaluate_every == 0 or self.step == self.settings.steps

    @property
    def measured_at(self) -> int | None:
        """The step of the last evaluation; None before the first."""
        curve = self.rows[0].trained.curve
        return curve[-1]["step"] if curve else None

    def train(self, label: str) -> None:
        """Takes steps until every member has left."""
        settings = self.settings
        if self.measured_at != self.step and self.to_measure:
            self.evaluate()  # not begun yet, or what measures it failed
        if self.step > 0 and self.measured_at == self.step:
            self.judge()  # interrupted after a last step
            self.leave()
        self.sitting.open_progress(settings.steps, self.step, f"{label} x {len(self.rows)}" if self.rows[1:] else label)
        while self.alive and self.step < settings.steps:
            self.take_step()
            if self.to_measure:
                self.evaluate()
                self.judge()
            action = self.sitting.due(self.step, unfinished=not all(self.rows[row].done for row in self.alive))
            if action != "go on":
                with self.sitting.timed("save"):
                    self.save()
            if action == "stop":
                message = f"stopped after step {self.step} of {settings.steps}; the same call goes on from there"
                raise self.sitting.stopped(message)
            self.leave()

    def take_step(self) -> None:
        """One step of all. A GPU is asked for its losses every tenth step only: to ask is to wait."""
        self.losses.append(self.take(self.step))
        self.step += 1
        if self.take.device.type == "cpu" or self.step % 10 == 1:
            self.check_losses()
            if alive := self.alive:
                judged = [self.rows[row].trained.curve[-1][self.settings.judged_by] for row in alive]
                self.sitting.report(self.step, self.losses[-1][alive].mean().item(), sum(judged) / len(judged))

    def evaluate(self) -> None:
        """Adds a row to each member's curve."""
        self.check_losses()
        if not (alive := self.alive):
            return
        pending = [torch.stack([loss[row] for loss in self.losses]).mean().item() for row in alive if self.losses]
        with self.kept(), self.sitting.timed("measure"):
            measured = self.measure(self.take, alive)
        self.losses.clear()
        for row, loss, found in zip(alive, pending or [None] * len(alive), measured, strict=True):
            self.rows[row].trained.curve.append({"step": self.step, "training_loss": loss, **found})
        with self.kept():
            for entrant in (self.rows[row] for row in alive):
                self.measured(entrant.number, entrant.trained.curve[-1])

    def judge(self) -> None:
        """Marks the members that have done all steps, or reached `stop_at`."""
        for row in self.alive:
            trained = self.rows[row].trained
            trained.stopped_early = self.settings.good_enough(trained.curve[-1])
            self.rows[row].done = trained.stopped_early or self.step == self.settings.steps

    def leave(self) -> None:
        """Lets the members go that are done, with their weights."""
        if not any(self.rows[row].done for row in self.alive):
            return
        self.check_weights()
        done = [row for row in self.alive if self.rows[row].done]
        self.share_time()
        self.take.hand_over(done)
        entrants = [self.rows[row] for row in done]
        for entrant in entrants:
            entrant.trained.steps = self.step
        if done:
            with self.kept():
                self.finished([e.number for e in entrants], [e.trained for e in entrants], self.take, done)
        for entrant in entrants:
            self.outcomes[entrant.number] = entrant.trained
        self.counted = self.sitting.seen = time.monotonic()  # what `finished` took is no member's training
        self.compact()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Saves the state if what is done inside fails: hours of training may lie before it."""
        try:
            yield
        except Exception:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.save()
            raise

    def share_time(self) -> None:
        """Adds the time since the last call to the members that are trained, evenly."""
        now, alive = time.monotonic(), self.alive
        for row in alive:
            self.rows[row].trained.seconds += (now - self.counted) / len(alive)
        self.counted = now

    def check_losses(self) -> None:
        """Drops members with a loss that is no number."""
        if not self.losses:
            return
        pending = torch.stack(self.losses)
        finite = pending.isfinite()
        for row in self.drop(finite.all(dim=0)):
            bad = int(finite[:, row].logical_not().nonzero()[0])
            self.fail(row, f"the loss of step {self.step - len(pending) + bad} is {pending[bad, row].item()}")
        self.compact()

    def check_weights(self) -> None:
        """Drops members with a weight that is no number: a finite loss may have had a gradient that was none."""
        for row in self.drop(self.take.finite()):
            self.fail(row, f"after step {self.step} a weight is no number")
        self.compact()

    def drop(self, good: Tensor) -> list[int]:
        """Rows of the members that are trained and not `good` [S]."""
        fine = good.tolist()
        bad = [row for row in self.alive if not fine[row]]
        if bad:
            self.share_time()
        return bad

    def fail(self, row: int, fault: str) -> None:
        """Ends a member with an error that names the fault."""
        self.outcomes[self.rows[row].number] = NonFiniteLoss(
            f"{fault}: lower the learning rate or lengthen the warm-up. The last checkpoint before it is kept"
        )

    def compact(self) -> None:
        """Takes the members out of the step that have left."""
        alive = self.alive
        if not alive or len(alive) == len(self.rows):
            return
        if self.take.engine == "eager" or 2 * len(alive) <= len(self.rows):
            self.take.keep(alive)
            self.rows = [self.rows[row] for row in alive]
            self.losses = [losses[alive] for losses in self.losses]

    def save(self) -> None:
        """Writes a checkpoint of each member that has a place for one."""
        self.check_losses()
        self.check_weights()
        self.share_time()
        kept = [row for row in self.alive if self.rows[row].member.checkpoints is not None]
        pending = torch.stack(self.losses).T.tolist() if self.losses else [[] for _ in self.rows]
        for row, tensors in zip(kept, self.take.checkpoints(kept) if kept else [], strict=True):
            trained, checkpoints = self.rows[row].trained, self.rows[row].member.checkpoints
            record = {"steps": self.step, "curve": trained.curve, "seconds": trained.seconds, "losses": pending[row]}
            assert checkpoints is not None
            checkpoints.save(tensors, {**record, "machines": trained.machines})
