"""Named tensors and a record in one safetensors file: whole or refused, no code in it to run."""

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from lookahead.errors import LookaheadError
from lookahead.files import replacing
from lookahead.kinds import Range, fit

Resume = Literal["latest", "never"]
"""What to go on from: the latest checkpoint that can be used, or none."""

T = TypeVar("T")


def state_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module, tied tensors once."""
    seen: set[int] = set()
    return {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if not (id(tensor) in seen or seen.add(id(tensor)))
    }


def load_state(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Loads what `state_tensors` gave.

    Raises:
        LookaheadError: the tensors are another model's.
    """
    own = state_tensors(module)
    wrong = [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]
    if wrong or len(tensors) != len(own):
        raise LookaheadError(
            f"these weights belong to another model: {(wrong or sorted(set(tensors) - set(own)))[0]} does not fit"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def joined(objective: dict[str, Tensor], optimizer: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of an objective and of its optimisers under the names of a checkpoint."""
    return {f"objective.{k}": v for k, v in objective.items()} | {f"optimizer.{k}": v for k, v in optimizer.items()}


def split_names(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The two that `joined` put together."""
    objective, optimizer = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in ("objective.", "optimizer.")
    )
    return objective, optimizer


def save(path: str | Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Writes atomically, with a checksum.

    Raises:
        LookaheadError: the file could not be written; what stood there is untouched.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(record)
    header = {"record": text, "sha256": f"{_checksum({}, text)} {_checksum(tensors, text)}"}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, header)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `save` wrote: tensors (on the CPU) and the record.

    Raises:
        LookaheadError: not there, truncated or corrupt.
    """
    try:
        data = Path(path).read_bytes()  # at once: the file may be replaced while it is read
        tensors = from_bytes(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        found = header.get("__metadata__", {})
    except (OSError, SafetensorError, ValueError) as error:
        raise LookaheadError(f"{path} cannot be read ({error}): truncated, corrupt, or no safetensors file") from error
    if not _whole_record(found) or found["sha256"].split(" ")[-1] != _checksum(tensors, found["record"]):
        raise LookaheadError(f"{path} is corrupt: its checksum does not match")
    return tensors, json.loads(found["record"])


def metadata(path: str | Path) -> dict[str, str]:
    """`record` (as JSON) and `sha256` of what `save` wrote, without its tensors; empty where they cannot be read.

    The record is whole; whether the tensors are, `load` alone tells.
    """
    with contextlib.suppress(OSError, RuntimeError, SafetensorError, ValueError):
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
        if _whole_record(found):
            return found
    return {}


def _whole_record(found: dict[str, str]) -> bool:
    """Whether a file's metadata hold a record as it was written; earlier code gave it no checksum of its own."""
    if not {"record", "sha256"} <= found.keys():
        return False
    *own, _ = found["sha256"].split(" ")
    return own in ([], [_checksum({}, found["record"])])


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Checkpoints:
    """The latest checkpoint of one training, and the one before it.

    Args:
        folder: where they lie; made if missing.
        run_id: whose training it is.
        code: what tells the code that trains it from other code, as plain data; stored with every checkpoint.
        refuses: why a checkpoint with another such `code` is not to be gone on from; None where it is.
    """

    def __init__(
        self,
        folder: str | Path,
        run_id: str,
        code: Any = None,
        refuses: Callable[[Any], str | None] = lambda code: None,
    ) -> None:
        self.latest = Path(folder) / "checkpoint.safetensors"
        self.previous = Path(folder) / "checkpoint.previous.safetensors"
        self.run_id, self.code, self.refuses = run_id, code, refuses

    def save(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Writes a new latest one; the one that was latest is kept as the previous."""
        fresh = self.latest.with_name("checkpoint.new.safetensors")
        save(fresh, tensors, {**record, "run": self.run_id, "code": self.code})
        if self.latest.exists():
            self.latest.replace(self.previous)
        fresh.replace(self.latest)

    def take_up(self, use: Callable[[dict[str, Tensor], dict[str, Any]], T]) -> T | None:
        """What `use` makes of the latest checkpoint (its tensors, its record) that can be used; None where none can.

        One that is corrupt, another run's or another code's, or that `use` refuses by a LookaheadError, is set aside
        with a warning, and the one before it is taken.
        """
        faults: list[str] = []
        for path in (self.latest, self.previous):
            if not path.exists():
                continue
            try:
                tensors, record = load(path)
                self._check(record, path)
                found = use(tensors, record)
            except LookaheadError as error:
                faults.append(str(error))
                with contextlib.suppress(OSError):
                    path.replace(_aside(path))
                continue
            self._tell(faults, "it goes on from the one before it")
            return found
        self._tell(faults, "it starts anew")
        return None

    def _check(self, record: dict[str, Any], path: Path) -> None:
        """Refuses a checkpoint that is another run's or another code's."""
        if record.get("run") != self.run_id:
            raise LookaheadError(f"{path} belongs to run {record.get('run')}, not to {self.run_id}")
        if reason := self.refuses(record.get("code")):
            raise LookaheadError(f"{path} {reason}")

    def _tell(self, faults: list[str], then: str) -> None:
        if faults:
            what = "; ".join(faults)
            warnings.warn(f"run {self.run_id} was interrupted, and {what}: set aside, and {then}", stacklevel=4)

    def steps_found(self) -> int:
        """Steps done by the checkpoint to go on from; 0 where none can be read."""
        for path in (self.latest, self.previous):
            if found := metadata(path):
                with contextlib.suppress(LookaheadError, ValueError, RecursionError, TypeError, KeyError):
                    return fit("steps", json.loads(found["record"])["steps"], Annotated[int, Range(least=0)])
        return 0

    def remove(self) -> None:
        """Forgets both, and what was set aside."""
        for path in (self.latest, self.previous):
            for name in (path, _aside(path)):
                with contextlib.suppress(OSError):  # its result is there: nobody reads it
                    name.unlink()


def _aside(path: Path) -> Path:
    """The name under which a checkpoint that cannot be used waits for the end of its run."""
    return path.with_suffix(".unusable")
