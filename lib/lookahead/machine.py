"""The machine: its devices, its threads, and where a number comes from. Loads torch only where a function needs it."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookahead.errors import LookaheadError

if TYPE_CHECKING:
    import torch
    from torch import nn


@functools.cache
def processor() -> str:
    """The CPU and how many cores it has, in words."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"


@functools.cache
def checkout() -> Path | None:
    """The checkout that the library lies in; None where it is installed otherwise."""
    root = Path(__file__).resolve().parents[2]
    try:
        about = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return root if about["project"]["name"] == "lookahead" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the library's checkout, and whether the library differs from it; None outside a checkout.

    Another repository around it is not asked: an environment often lies in somebody's own.
    """
    if (root := checkout()) is None:
        return None, None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str) -> str:
        command = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}", *words]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "lib/lookahead"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


PINS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""One thread and one instruction set, so that a quick run ends in the same weights on most machines."""


def pin() -> None:
    """One thread, one instruction set. After torch is loaded only the threads can still be set."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        return
    os.environ.update(PINS)


def device_of(module: nn.Module) -> torch.device:
    """The device where a module's parameters lie."""
    return next(module.parameters()).device


def resolve_device(device: str | torch.device) -> torch.device:
    """`"auto"` is the GPU where there is one, else the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise LookaheadError(f"unknown device {str(device)!r}: take auto, cpu or cuda")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise LookaheadError(f"no GPU for device {str(device)!r} that torch {torch.__version__} can use")
    return found


def numbered(device: torch.device) -> torch.device:
    """The device with its number, where it has one."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def manifest(
    device: torch.device, steps: int, seconds: float, kernels: str | None = None, engine: str = "eager"
) -> dict[str, Any]:
    """Where, when and with what a run was done; `kernels` as from `Model.kernels_used`, `engine` from `Step.engine`."""
    import torch

    made_by, dirty = commit()
    return {
        "steps": steps,
        "seconds": round(seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device_name(device),
        "engine": engine,
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": made_by,
        "uncommitted_changes": dirty,
        **({} if kernels is None else {"kernels": kernels}),
        **_several(),
    }


def arithmetic(device: torch.device) -> dict[str, Any]:
    """On what the last digits of a result depend, beside the code."""
    import torch

    if device.type == "cuda":
        return {"device": device_name(device), "torch": torch.__version__, **_several()}
    return {
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        **_several(),
    }


def processes() -> int:
    """How many processes train one run together, this one among them (see `training.distributed`)."""
    import torch

    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1


def _several() -> dict[str, int]:
    """`processes`, where they are several."""
    return {"processes": processes()} if processes() > 1 else {}


def device_name(device: torch.device) -> str:
    """The device in words."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()
