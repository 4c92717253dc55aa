"""Named tensors and a record in one safetensors file: whole or refused, no code in it to run."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from lookahead.errors import LookaheadError
from lookahead.files import replacing

Resume = Literal["latest", "previous", "never"]
"""What to go on from: the latest checkpoint, the one before it, or none."""


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
    metadata = {"record": text, "sha256": _checksum(tensors, text)}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
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
        metadata = header.get("__metadata__", {})
    except (OSError, SafetensorError, ValueError) as error:
        raise LookaheadError(f"{path} cannot be read ({error}): truncated, corrupt, or no safetensors file") from error
    if "record" not in metadata or metadata.get("sha256") != _checksum(tensors, metadata["record"]):
        raise LookaheadError(f"{path} is corrupt: its checksum does not match")
    return tensors, json.loads(metadata["record"])


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
    """

    def __init__(self, folder: str | Path, run_id: str, code: Any = None) -> None:
        self.latest = Path(folder) / "checkpoint.safetensors"
        self.previous = Path(folder) / "checkpoint.previous.safetensors"
        self.run_id, self.code = run_id, code

    def save(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Writes a new latest one; the one that was latest is kept as the previous."""
        fresh = self.latest.with_name("checkpoint.new.safetensors")
        save(fresh, tensors, {**record, "run": self.run_id, "code": self.code})
        if self.latest.exists():
            self.latest.replace(self.previous)
        fresh.replace(self.latest)

    def load(self, previous: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The latest (or the previous) checkpoint, or None where there is none.

        Raises:
            LookaheadError: it is corrupt (the message offers the previous one) or another run's.
        """
        if previous and self.latest.exists() and not self.previous.exists():
            raise LookaheadError(f"there is no checkpoint before {self.latest}: start anew with resume='never'")
        path = self.previous if previous or not self.latest.exists() else self.latest
        if not path.exists():
            return None
        try:
            tensors, record = load(path)
        except LookaheadError as error:
            if path is self.latest and self.previous.exists():
                raise LookaheadError(
                    f"{error}. The one before it is still there ({self.previous.name}): "
                    "go on from it with resume='previous'"
                ) from error
            raise LookaheadError(f"{error}. Start anew with resume='never'") from error
        if record["run"] != self.run_id:
            raise LookaheadError(f"{path} belongs to run {record['run']}, not to {self.run_id}")
        return tensors, record

    def code_found(self) -> Any:
        """The `code` that the checkpoint to go on from was written with; None where none can be read."""
        return self._record_found().get("code")

    def steps_found(self) -> int:
        """Steps done by the checkpoint to go on from; 0 where none can be read."""
        return self._record_found().get("steps", 0)

    def _record_found(self) -> dict[str, Any]:
        """The record of the latest checkpoint that can be read, without its tensors; empty where there is none."""
        for path in (self.latest, self.previous):
            unreadable = contextlib.suppress(OSError, RuntimeError, SafetensorError, KeyError, ValueError)
            with unreadable, safe_open(path, framework="pt") as file:
                return json.loads(file.metadata()["record"])
        return {}

    def remove(self) -> None:
        """Forgets both."""
        self.latest.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
