"""Which code computes an operation: the reference, plain PyTorch, or mamba-ssm's kernels.

An operation has one meaning and three ways to it. "auto" takes the fastest that works for the device and
the precision; mamba-ssm's is used only after one small comparison with the reference, forward and backward.
How an operation is computed is no part of what a model is.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lookahead.errors import LookaheadError

KERNELS = ("auto", "reference", "torch", "mamba_ssm")

FUSED_DEVICES = ("cuda",)
FUSED_VERSIONS = ((2, 2), (3, 0))
"""mamba-ssm from the first, before the second: both functions as they are called here."""
FUSED_TOLERANCES = {torch.float32: 1e-2, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest difference from the reference, as a share of its largest value. Triton multiplies float32 matrices with
TF32's 10 bits; bfloat16 has 8. A kernel that computes something else is off by about 1."""

Inputs = tuple[Tensor, ...]
Outcome = tuple[Tensor, Tensor]
"""The output, and the state after the last step."""


def at_least_float32(x: Tensor, *rest: Tensor) -> list[Tensor]:
    """The tensors in the precision of x, or in float32 where that is higher."""
    kind = torch.promote_types(x.dtype, torch.float32)
    return [v.to(kind) for v in (x, *rest)]


OPERATIONS: list[Operation] = []
"""Every operation of the library, for `report`."""


class Unusable(Exception):
    """The reason why mamba-ssm's kernel cannot be used; `expected` where nothing is wrong, such as without a GPU."""

    def __init__(self, reason: str, expected: bool = False) -> None:
        super().__init__(reason)
        self.expected = expected


@dataclass
class Operation:
    """An operation and the ways to compute it; each takes (*inputs, state) and gives an `Outcome`.

    Args:
        function: mamba-ssm's, as "module:name".
        arguments: the names of the arguments that it is called with.
        needs_extension: whether that function needs mamba-ssm's compiled extension (the rest of mamba-ssm is Triton).
        fused: computes with mamba-ssm's function, which is its first argument.
        resumes: whether that function can start from a state.
        probe_inputs: small inputs to compare on, given a device and a dtype.
    """

    name: str
    reference: Callable[..., Outcome]
    plain: Callable[..., Outcome]
    fused: Callable[..., Outcome]
    function: str
    arguments: tuple[str, ...]
    needs_extension: bool
    resumes: bool
    probe_inputs: Callable[[torch.device, torch.dtype], Inputs]
    verdicts: dict[tuple[torch.device, torch.dtype], tuple[Callable[..., Any] | None, str]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        OPERATIONS.append(self)

    def __call__(self, kernels: str, inputs: Inputs, state: Tensor | None) -> Outcome:
        """The outcome, computed by the chosen way.

        Raises:
            LookaheadError: an unknown way, mamba-ssm where it cannot be used, or float16 on a CPU.
        """
        x = inputs[0]
        with torch.autocast(x.device.type, enabled=False):  # a scan adds up long sums: it chooses its own precision
            way, fused, _ = self.choose(kernels, x.device, x.dtype, resuming=state is not None)
            if fused is not None:
                return self.fused(fused, *inputs, state)
            return (self.reference if way == "reference" else self.plain)(*inputs, state)

    def choose(
        self, kernels: str, device: torch.device, dtype: torch.dtype, resuming: bool = False
    ) -> tuple[str, Callable[..., Any] | None, str]:
        """The way to compute, mamba-ssm's function if that is the way, and the reason to pass over a faster one."""
        kernels = resolve(kernels)
        if device.type == "cpu" and dtype == torch.float16:
            raise LookaheadError(f"{self.name} in float16 on a CPU: take float32 or bfloat16")
        if kernels in ("reference", "torch"):
            return kernels, None, "asked for"
        if resuming and not self.resumes:
            fused, reason = None, "mamba-ssm's cannot start from a state"
        else:
            fused, reason = self.fused_function(device, dtype)
        if fused is not None:
            return "mamba_ssm", fused, ""
        if kernels == "mamba_ssm" and not resuming:
            raise LookaheadError(f"{self.name} by mamba-ssm is not possible: {reason}; take kernels='auto'")
        return "torch", None, reason

    def fused_function(self, device: torch.device, dtype: torch.dtype) -> tuple[Callable[..., Any] | None, str]:
        """mamba-ssm's function, if it is there and right; else None, and why. Warns once where something is wrong."""
        if (device, dtype) not in self.verdicts:
            try:
                function = self.load(device, dtype)
                self.compare(function, device, dtype)
                self.verdicts[device, dtype] = function, ""
            except Unusable as fault:
                self.verdicts[device, dtype] = None, str(fault)
                if not fault.expected:
                    warnings.warn(
                        f"{self.name}: mamba-ssm is there but not used, PyTorch's own operations are: {fault}",
                        RuntimeWarning,
                        stacklevel=4,
                    )
        return self.verdicts[device, dtype]

    def load(self, device: torch.device, dtype: torch.dtype) -> Callable[..., Any]:
        """mamba-ssm's function; Unusable where it is not for this device and dtype, not there, or another one."""
        if device.type not in FUSED_DEVICES:
            raise Unusable(f"mamba-ssm needs a GPU with CUDA, this is a {device.type} device", expected=True)
        if dtype not in FUSED_TOLERANCES:
            raise Unusable(f"mamba-ssm does not compute in {str(dtype).removeprefix('torch.')}", expected=True)
        version, extension = import_mamba_ssm()
        least, below = FUSED_VERSIONS
        if not least <= _numbers(version) < below:
            raise Unusable(f"version {version} is not one of those known to fit: {least[0]}.{least[1]} to {least[0]}.x")
        if self.needs_extension and not extension:
            raise Unusable("its compiled extension selective_scan_cuda is missing: make gpu builds it")
        module, name = self.function.split(":")
        try:
            function = getattr(importlib.import_module(module), name)
            known = inspect.signature(function).parameters
        except Exception as error:
            raise Unusable(f"version {version} has no {name} in {module} ({error})") from error
        if missing := [argument for argument in self.arguments if argument not in known]:
            raise Unusable(f"{name} of version {version} takes no {', '.join(missing)}")
        return function

    def compare(self, function: Callable[..., Any], device: torch.device, dtype: torch.dtype) -> None:
        """Outputs and all gradients on a small example; Unusable if they differ or it raises."""
        found = []
        for way in (self.reference, lambda *given: self.fused(function, *given)):
            try:
                with torch.inference_mode(False), torch.enable_grad():
                    inputs = [value.requires_grad_() for value in self.probe_inputs(device, dtype)]
                    y, _ = way(*inputs, None)
                    weights = torch.linspace(-1, 1, y.numel(), device=device).view_as(y)
                    found.append([y, *torch.autograd.grad((y.float() * weights).sum(), inputs)])
            except Exception as error:
                if way is self.reference:
                    raise
                raise Unusable(f"it raised {type(error).__name__}: {error}") from error
        for name, right, given in zip(("output", *self.arguments), *found, strict=False):
            off = (given.float() - right.float()).abs().max() / right.float().abs().max()
            if not off <= FUSED_TOLERANCES[dtype]:  # not a number is no agreement
                what = name if name == "output" else f"gradient of {name}"
                allowed = FUSED_TOLERANCES[dtype]
                raise Unusable(
                    f"its {what} is off by {off:.1e} of the reference's largest value ({allowed} is allowed)"
                )


def resolve(kernels: str) -> str:
    """The name of a way to compute, checked; for "auto" the one that LOOKAHEAD_KERNELS sets for the process, if any.

    Raises:
        LookaheadError: no such way.
    """
    if kernels not in KERNELS:
        raise LookaheadError(f"unknown kernels {kernels!r}; known: {', '.join(KERNELS)}")
    if kernels == "auto" and (chosen := os.environ.get("LOOKAHEAD_KERNELS")):
        if chosen not in KERNELS:
            raise LookaheadError(f"LOOKAHEAD_KERNELS is {chosen!r}; known: {', '.join(KERNELS)}")
        return chosen
    return kernels


def import_mamba_ssm() -> tuple[str, bool]:
    """The version of mamba-ssm, which is imported, and whether its compiled extension is there.

    Raises:
        Unusable: it is not installed, or cannot be imported.
    """
    try:
        with _stand_in("selective_scan_cuda") as extension:
            package = importlib.import_module("mamba_ssm")
    except ModuleNotFoundError as error:
        if error.name == "mamba_ssm":
            raise Unusable("mamba-ssm is not installed: make gpu installs it", expected=True) from error
        raise Unusable(f"mamba-ssm cannot be imported: {error}") from error
    except Exception as error:  # a broken extension can raise anything
        raise Unusable(f"mamba-ssm cannot be imported: {type(error).__name__}: {error}") from error
    return str(getattr(package, "__version__", "unknown")), extension


@contextlib.contextmanager
def _stand_in(name: str) -> Iterator[bool]:
    """Whether a module can be imported; where not, an empty one stands in for it.

    mamba_ssm imports its compiled extension whatever is used of it; its Triton part does without.
    """
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules[name] = types.ModuleType(name)
        try:
            yield False
        finally:
            del sys.modules[name]
    else:
        yield True


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version: (2, 3, 1) for 2.3.1.post1."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("post")[0])[:3])


def report(device: torch.device) -> list[str]:
    """Lines of text: device, torch, and for every operation and precision the way taken and why no faster one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"threads: {torch.get_num_threads()}"
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    lines = [f"device: {device.type} ({name})", f"torch: {torch.__version__} ({cuda})"]
    for operation in OPERATIONS:
        for dtype in (torch.float32, torch.bfloat16):
            way, _, reason = operation.choose("auto", device, dtype)
            kind = str(dtype).removeprefix("torch.")
            lines.append(f"{operation.name} in {kind}: {way}" + (f" ({reason})" if reason else ""))
    return lines
