"""One run trained by several processes of one machine, a GPU each; for tests they share a CPU.

Lightning Fabric starts and connects them (its `DDPStrategy`). All hold the whole network. Each computes its rows of the
same batch; their gradients are added, weighted as the parts of a batch that was split, and each takes the same step. So
the gradient is that of the whole batch, and the run goes where it would go in one process, but for rounding. Process 0
alone runs the training loop, evaluates and writes; the others take the steps that it announces.

The gradients are added when the backward pass is done, not during it as DDP's wrapper does: until then no process has
waited for another, so one whose GPU runs out of memory splits its own rows and begins its part of the step again.

The network is not sharded (FSDP): Muon steps on whole matrices, of which a shard has some rows alone, and checkpoints,
evaluation and results read all weights in one process. So each GPU needs room for a whole network and its optimiser.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.files import write_text
from lookahead.training.checkpoints import load_state, split_names
from lookahead.training.settings import Settings
from lookahead.training.sitting import STOP_SIGNALS, Interrupted, Sitting
from lookahead.training.step import Engine, Step

for _name in ("distributed", "rank_zero"):  # here, as every process imports it before Fabric tells of each
    logging.getLogger(f"lightning_fabric.utilities.{_name}").setLevel(logging.WARNING)

NO_MORE = -1
"""Announced in place of a step."""
PATIENCE = timedelta(hours=1)
"""How long one process may be behind the others in a step, as when it compiles."""
EVER = timedelta(days=10_000)
"""How long it waits for the next step: process 0 may be evaluating, or waiting for another run to end."""

Work = Callable[..., Any]
"""What each process does: called with its `Team`, and more. A function of a module; what process 0 gives is small."""


class Team:
    """The processes of one training, as one of them sees them.

    Args:
        fabric: Lightning Fabric's, launched.
    """

    def __init__(self, fabric: Any) -> None:
        self.fabric = fabric
        self.rank: int = fabric.global_rank
        self.size: int = fabric.world_size
        self.device: torch.device = fabric.device
        self.side: Any = distributed.new_group(backend="gloo", timeout=EVER)
        """For words about the training, on the CPU: to pass them on the GPU would be to wait for it."""

    def rows(self, batch: int) -> slice:
        """The rows of a batch of so many that are this process's: as evenly as can be."""
        return slice(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def announce(self, step: int) -> None:
        """Tells the others which step comes; process 0 does."""
        distributed.broadcast(torch.tensor([step]), src=0, group=self.side)

    def next_step(self) -> int:
        """What process 0 announces."""
        heard = torch.zeros(1, dtype=torch.int64)
        distributed.broadcast(heard, src=0, group=self.side)
        return int(heard)

    @contextlib.contextmanager
    def leading(self) -> Iterator[None]:
        """Lets the others go when what is done inside ends, however it does."""
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # one that is gone already
                self.announce(NO_MORE)

    def add_up(self, loss: Tensor, weights: list[nn.Parameter]) -> None:
        """Puts in place of a loss, and of the gradients of some weights, the sum of those of all processes.

        A weight that none of them has a gradient for keeps none, so that no optimiser steps on it.
        """
        has = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.uint8)
        distributed.all_reduce(has, op=distributed.ReduceOp.MAX, group=self.side)
        pending = [distributed.all_reduce(loss, async_op=True)]
        for weight, anywhere in zip(weights, has.tolist(), strict=True):
            if anywhere:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                pending.append(distributed.all_reduce(weight.grad, async_op=True))
        for one in pending:
            assert one is not None  # as if this process were in no group
            one.wait()

    def share(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The named tensors of process 0, on this one's device."""
        kinds = self.fabric.broadcast({name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()})
        shared: dict[str, Tensor] = {}
        for name, (shape, kind) in kinds.items():
            if self.rank == 0:
                shared[name] = tensors[name].detach().to(self.device).contiguous()
            else:
                shared[name] = torch.empty(shape, dtype=kind, device=self.device)
            distributed.broadcast(shared[name], src=0)
        return shared


class SharedStep(Step):
    """A step of which this process computes its rows. To call it in process 0 is to have all of them take it.

    Before the first step all get the state of process 0: it alone reads checkpoints.

    Args:
        team: the processes; the other arguments are those of `Step`.

    Raises:
        LookaheadError: fewer examples in a batch than processes, or an engine that cannot do it.
    """

    def __init__(
        self, team: Team, objective: Objective, task: Task, settings: Settings, seed: int, engine: Engine = "auto"
    ) -> None:
        check_shared(settings, team.size, engine)
        if engine == "auto" and team.device.type == "cuda":
            engine = "compiled"
        super().__init__(objective, task, settings, seed, engine)
        self.team, self.alike = team, False

    def __call__(self, step: int) -> Tensor:
        if self.team.rank == 0:
            self.team.announce(step)
        if not self.alike:
            self.alike = True
            self.copy_state()
        return super().__call__(step)

    def follow(self) -> None:
        """Takes the steps that process 0 announces, until it announces no more."""
        while (step := self.team.next_step()) != NO_MORE:
            self(step)

    def copy_state(self) -> None:
        """Gives all processes the weights of process 0, and the state of its optimisers."""
        tensors = self.team.share(self.checkpoints([0])[0])
        if self.team.rank > 0:
            objective, optimizer = split_names(tensors)
            load_state(self.objective, objective)
            if optimizer:
                self.resume([optimizer])

    def gradient(self, indices: Tensor, places: Tensor, progress: Tensor, batch: int) -> Tensor:
        mine = self.team.rows(len(indices))
        loss = super().gradient(indices[mine], places[mine], progress, batch)
        self.team.add_up(loss, self.trained)
        return loss


def check_shared(settings: Settings, processes: int, engine: Engine) -> None:
    """Raises a LookaheadError if so many processes cannot share a batch, or a step be computed so by several."""
    if settings.batch_size < processes:
        raise LookaheadError(
            f"{processes} processes cannot share a batch of {settings.batch_size}: take at most as many as examples"
        )
    if engine == "captured":
        raise LookaheadError("a CUDA graph holds the step of one process: with several take 'compiled' or 'eager'")


# -- starting them -------------------------------------------------------------------------------------------------


def launch(
    work: Work, processes: int, device: torch.device, *arguments: Any, start_method: Literal["spawn", "fork"] = "spawn"
) -> Any:
    """Starts processes that all do `work(team, *arguments)`, and waits for them.

    A stop signal is passed on to process 0, which ends as a training in one process does. What fails in one ends all.

    Args:
        device: "cpu", or "cuda": as many GPUs as processes.
        arguments: what can be sent to a process.
        start_method: of `multiprocessing`. "fork" imports nothing anew, and is for a program without threads or GPUs.

    Returns:
        what `work` gives in process 0.

    Raises:
        LookaheadError: no package lightning-fabric, fewer GPUs, or a process that was killed.
        Exception: the first that ended a process, as it was; `Interrupted` after a stop signal.
    """
    fabric = connect(processes, device, start_method)
    with tempfile.TemporaryDirectory(prefix="lookahead-") as name, Caller(Path(name)) as caller, own_port():
        try:
            found = fabric.launch(_begin, name, work, arguments)
        except Exception as error:
            killed = getattr(error, "signal_name", None)  # what the others say then is only that one is missing
            if not killed and (first := first_failure(Path(name))) is not None:
                raise first from error
            if caller.interrupted:
                raise Interrupted("stopped before its end") from error
            hint = "" if killed else '. A script that trains so does it under if __name__ == "__main__"'
            raise LookaheadError(f"training by {processes} processes ended: {str(error).strip()}{hint}") from error
        if (first := first_failure(Path(name))) is not None:
            raise first
        return found


def connect(processes: int, device: torch.device, start_method: Literal["spawn", "fork"] = "spawn") -> Any:
    """Lightning Fabric for so many processes on this machine.

    Raises:
        LookaheadError: it is not installed, cannot start processes here, or there are fewer GPUs.
    """
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        raise LookaheadError(
            f"{processes} processes want a GPU each, and here are {torch.cuda.device_count()}: take fewer"
        )
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise LookaheadError(
            f"training by several processes needs the package lightning-fabric: pip install 'lightning-fabric>=2.5,<3' "
            f"({error})"
        ) from error
    strategy = DDPStrategy(start_method=start_method, timeout=PATIENCE)
    try:
        return Fabric(accelerator=device.type, devices=processes, strategy=strategy, plugins=[LightningEnvironment()])
    except RuntimeError as error:  # as in a notebook
        raise LookaheadError(f"several processes cannot be started from here: {error}") from error


@contextlib.contextmanager
def own_port() -> Iterator[None]:
    """Has Fabric look for a free port inside, and the environment as it was behind it."""
    before = os.environ.pop("MASTER_PORT", None)
    try:
        yield
    finally:
        os.environ.pop("MASTER_PORT", None)
        if before is not None:
            os.environ["MASTER_PORT"] = before


class Caller(Sitting):
    """The process that started the others: it passes stop signals on to process 0, and waits.

    Args:
        folder: where process 0 says its number, and is told of a signal that came before.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def ask(self, *_: object) -> None:
        self.interrupted = True
        (self.folder / "stop").touch()
        with contextlib.suppress(OSError, ValueError):  # not there yet: it will look for the file
            os.kill(int((self.folder / "leader").read_text()), signal.SIGINT)


def _begin(fabric: Any, name: str, work: Work, arguments: tuple[Any, ...]) -> Any:
    """What a process does that was started; what ends it is written down for the one that started it.

    It has a session of its own and hears no stop signals, but process 0 SIGINT, which comes from that one alone: a
    second signal would not wait for the end of a step.
    """
    folder, leads = Path(name), fabric.global_rank == 0
    with contextlib.suppress(OSError):  # it leads a session already
        os.setsid()
    for number in STOP_SIGNALS:
        if number != signal.SIGINT or not leads:
            signal.signal(number, signal.SIG_IGN)
    try:
        if leads:
            write_text(folder / "leader", str(os.getpid()))
            if (folder / "stop").exists():
                raise Interrupted("stopped before the training began")
        else:
            warnings.simplefilter("ignore")  # process 0 says the same
        return work(Team(fabric), *arguments)
    except KeyboardInterrupt as error:
        write_failure(folder, fabric.global_rank, error)
        return None
    except BaseException as error:
        write_failure(folder, fabric.global_rank, error)
        raise


def write_failure(folder: Path, rank: int, error: BaseException) -> None:
    """Writes what ended a process, and when."""
    kind = type(error)
    told = {
        "when": time.monotonic_ns(),
        "module": kind.__module__,
        "kind": kind.__qualname__,
        "told": list(error.args),
        "more": vars(error),
    }
    write_text(folder / f"{rank}.failure", json.dumps(told, default=str))


def first_failure(folder: Path) -> BaseException | None:
    """What ended the first process that was ended by something: the others may have failed for want of it."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.failure")]
    if not found:
        return None
    first = min(found, key=lambda one: one["when"])
    kind = getattr(sys.modules.get(first["module"]), first["kind"], None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):  # one that is not known here
        return LookaheadError(f"{first['kind']}: {', '.join(map(str, first['told']))}")
    error = kind.__new__(kind, *first["told"])  # as it was, whatever its constructor takes
    error.args = tuple(first["told"])
    vars(error).update(first["more"])
    return error
