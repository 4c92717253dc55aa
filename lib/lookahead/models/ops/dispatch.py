"""Which code computes an operation: the reference, plain PyTorch, or mamba-ssm's kernels.

An operation has one meaning and three ways to it. "auto" takes the fastest that works for the device and
the precision; mamba-ssm's is used only after a small comparison with PyTorch's own, forward and backward.
How an operation is computed is no part of what a model is.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import itertools
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
FUSED_VERSIONS = ((2, 3), (3, 0))
"""mamba-ssm from the first, before the second: both functions as they are called here."""
FUSED_TOLERANCES = {torch.float32: 1e-2, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest difference from what is right, as a share of its largest value. Triton multiplies float32 matrices with
TF32's 10 bits; bfloat16 has 8. The gradient of A, a sum over all steps, may be off by twice as much. A kernel that
computes something else is off by about 1."""
FUSED_ELEMENTS = 2**31
"""Most elements of a tensor in one call of mamba-ssm: its kernels count them in 32 bits, and wrap without a word."""

Inputs = tuple[Tensor, ...]
Outcome = tuple[Tensor, Tensor]
"""The output, and the state after the last step."""
Fused = Callable[[Inputs, Tensor | None], Outcome]
"""An operation by mamba-ssm."""


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
        elements: of the largest tensor that this makes or reads, for one example.
        resumes: whether that function can start from a state, and has a gradient for it and for the last one.
        probe_inputs: small inputs to compare on, x, dt, A, B, C and a state, given a number of steps.
        probe_steps: how many steps to compare; one of them more than a chunk of mamba-ssm's has.
    """

    name: str
    reference: Callable[..., Outcome]
    plain: Callable[..., Outcome]
    fused: Callable[..., Outcome]
    function: str
    arguments: tuple[str, ...]
    needs_extension: bool
    elements: Callable[..., int]
    resumes: bool
    probe_inputs: Callable[[int], Inputs]
    probe_steps: tuple[int, ...]
    verdicts: dict[tuple[torch.device, torch.dtype], tuple[Fused | None, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        OPERATIONS.append(self)

    def __call__(self, kernels: str, inputs: Inputs, state: Tensor | None) -> Outcome:
        """The outcome, computed by the chosen way.

        Raises:
            LookaheadError: an unknown way, mamba-ssm where it cannot be used, or float16 on a CPU.
        """
        x = inputs[0]
        way, fused, _ = self.choose(kernels, x.device, x.dtype, resuming=state is not None)
        if fused is not None:
            return fused(inputs, state)
        with torch.autocast(x.device.type, enabled=False):  # a scan adds up long sums: it chooses its own precision
            return (self.reference if way == "reference" else self.plain)(*inputs, state)

    def choose(
        self, kernels: str, device: torch.device, dtype: torch.dtype, resuming: bool = False
    ) -> tuple[str, Fused | None, str]:
        """The way to compute, mamba-ssm's if that is the way, and the reason to pass over a faster one."""
        kernels = resolve(kernels)
        if device.type == "cpu" and dtype == torch.float16:
            raise LookaheadError(f"{self.name} in float16 on a CPU: take float32 or bfloat16")
        if kernels in ("reference", "torch"):
            return kernels, None, "asked for"
        if resuming and not self.resumes:
            fused, reason = None, "mamba-ssm's cannot start from a state"
        else:
            fused, reason = self.verdict(device, dtype)
        if fused is not None:
            return "mamba_ssm", fused, ""
        if kernels == "mamba_ssm" and not resuming:
            raise LookaheadError(f"{self.name} by mamba-ssm is not possible: {reason}; take kernels='auto'")
        return "torch", None, reason

    def verdict(self, device: torch.device, dtype: torch.dtype) -> tuple[Fused | None, str]:
        """mamba-ssm's way, if it is there and right; else None, and why. Found out once, where no compiler looks on."""
        if (device, dtype) not in self.verdicts:
            judge: Any = torch.compiler.disable(self.judge) if torch.compiler.is_compiling() else self.judge
            judge(device, dtype)
        return self.verdicts[device, dtype]

    def judge(self, device: torch.device, dtype: torch.dtype) -> None:
        """Sets the verdict. Warns where something is wrong."""
        try:
            function = self.load(device, dtype)
            self.compare(function, device, dtype)
        except Unusable as fault:
            self.verdicts[device, dtype] = None, str(fault)
            if not fault.expected:
                warnings.warn(
                    f"{self.name}: mamba-ssm is there but not used, PyTorch's own operations are: {fault}",
                    RuntimeWarning,
                    stacklevel=5,
                )
        else:
            fused: Any = torch.compiler.disable(functools.partial(self.in_calls, function))  # called as it is
            self.verdicts[device, dtype] = fused, ""

    def in_calls(self, function: Callable[..., Any], inputs: Inputs, state: Tensor | None) -> Outcome:
        """The outcome by mamba-ssm's function, which gets as many examples at a time as it can count."""
        x, dt, A, B, C = inputs
        examples = FUSED_ELEMENTS // self.elements(*inputs)
        if not examples:
            raise LookaheadError(f"an example of {x.shape[1]} steps is too large for mamba-ssm: take kernels='torch'")
        count = -(-len(x) // examples)
        states = [None] * count if state is None else state.split(examples)
        found = []
        with torch.autocast(x.device.type, enabled=False):
            for *piece, start in zip(*(v.split(examples) for v in (x, dt, B, C)), states, strict=True):
                x, dt, B, C = piece
                found.append(self.fused(function, x, dt, A, B, C, start))
        if count == 1:
            return found[0]
        y, last = (torch.cat(parts) for parts in zip(*found, strict=True))
        return y, last

    def load(self, device: torch.device, dtype: torch.dtype) -> Callable[..., Any]:
        """mamba-ssm's function; Unusable where it is not for this device and dtype, not there, or another one."""
        if device.type not in FUSED_DEVICES:
            raise Unusable(f"mamba-ssm needs a GPU with CUDA, this is a {device.type} device", expected=True)
        if dtype not in FUSED_TOLERANCES:
            raise Unusable(f"mamba-ssm does not compute in {str(dtype).removeprefix('torch.')}", expected=True)
        version, fault = import_mamba_ssm()
        least, below = FUSED_VERSIONS
        if not least <= _numbers(version) < below:
            raise Unusable(f"version {version} is not one of those known to fit: {least[0]}.{least[1]} to {least[0]}.x")
        if self.needs_extension and fault:
            raise Unusable(fault)
        module, name = self.function.split(":")
        try:
            found = importlib.import_module(module)
        except Exception as error:
            raise Unusable(f"{module} of version {version} cannot be imported: {_said(error)}") from error
        function = getattr(found, name, None)
        if function is None:
            raise Unusable(f"version {version} has no {name} in {module}")
        known = inspect.signature(function).parameters
        if missing := [argument for argument in self.arguments if argument not in known]:
            raise Unusable(f"{name} of version {version} takes no {', '.join(missing)}")
        return function

    def compare(self, function: Callable[..., Any], device: torch.device, dtype: torch.dtype) -> None:
        """Outputs, last states and all gradients on small examples, beside PyTorch's own way in float64.

        Raises:
            Unusable: they differ, or it raises.
            torch.OutOfMemoryError: the device is full, which says nothing about the function.
        """
        for steps, resuming in itertools.product(self.probe_steps, (False, True) if self.resumes else (False,)):
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
                x, dt, A, B, C, *state = (v.to(device) for v in self.probe_inputs(steps)[: 6 if resuming else 5])
                inputs = [x.to(dtype), dt, A, B.to(dtype), C.to(dtype), *state]
                right = self.outcome(self.plain, [v.double() for v in inputs])
                try:
                    found = self.outcome(functools.partial(self.fused, function), inputs)
                except Exception as error:
                    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
                        raise torch.OutOfMemoryError(str(error)) from error
                    raise Unusable(f"it raised {_said(error)}") from error
            for what, expected in right.items():
                allowed = FUSED_TOLERANCES[dtype] * (2 if what == "gradient of A" else 1)
                off, largest = (found[what] - expected).abs().max(), expected.abs().max()
                if not off <= allowed * largest:  # not a number is no agreement
                    start = " from a state" if resuming else ""
                    raise Unusable(
                        f"its {what} is off by {off / largest:.1e} of the largest value in {steps} steps{start} "
                        f"({allowed} is allowed)"
                    )

    def outcome(self, way: Callable[..., Outcome], inputs: list[Tensor]) -> dict[str, Tensor]:
        """Output, last state and the gradients of all inputs, by name; those of both, where the last state has one."""
        inputs = [v.detach().requires_grad_() for v in inputs]
        y, last = way(*inputs, *([None] if len(inputs) == 5 else []))
        counted = (y, last) if self.resumes else (y,)
        total = sum((v * torch.linspace(-1, 1, v.numel(), device=v.device).view_as(v)).sum() for v in counted)
        gradients = torch.autograd.grad(total, inputs, materialize_grads=True)  # type: ignore[arg-type]
        named = zip(("x", "dt", "A", "B", "C", "state"), gradients, strict=False)
        return {"output": y, "last state": last, **{f"gradient of {name}": v for name, v in named}}


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


def import_mamba_ssm() -> tuple[str, str]:
    """The version of mamba-ssm, which is imported, and what keeps its compiled extension from being used, or "".

    Raises:
        Unusable: it is not installed, or cannot be imported.
    """
    try:
        with _stand_in("selective_scan_cuda") as fault:
            package = importlib.import_module("mamba_ssm")
    except Exception as error:  # a broken package can raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == "mamba_ssm":
            raise Unusable("mamba-ssm is not installed: make gpu installs it", expected=True) from error
        raise Unusable(f"mamba-ssm cannot be imported: {_said(error)}") from error
    return str(getattr(package, "__version__", "unknown")), fault


@contextlib.contextmanager
def _stand_in(name: str) -> Iterator[str]:
    """What keeps a compiled module from being imported, or ""; where something does, an empty one stands in for it.

    mamba_ssm imports its compiled extension whatever is used of it; its Triton part does without.
    """
    try:
        importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            fault = f"its compiled extension {name} is missing: make gpu builds it"
        else:
            fault = f"its compiled extension {name} cannot be loaded ({_said(error)}): make gpu builds it anew"
        sys.modules[name] = types.ModuleType(name)
        try:
            yield fault
        finally:
            del sys.modules[name]
    else:
        yield ""


def _said(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}"


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
