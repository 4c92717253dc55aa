"""mamba-ssm on a CPU: Triton's interpreter with bfloat16 put right, a card's rounding, stand-ins for what is compiled.

TRITON_INTERPRET=1 and MAMBA_DETERMINISTIC=1 must be set before Triton is imported: `make test-kernels` does.
"""

from __future__ import annotations

import contextlib
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor


def prepare(patch: pytest.MonkeyPatch) -> None:
    """Lets mamba_ssm be imported and run on tensors of a CPU."""
    patch.setattr(torch.cuda, "device", lambda index: contextlib.nullcontext())
    patch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(multi_processor_count=1))
    extension: Any = types.ModuleType("selective_scan_cuda")
    extension.fwd, extension.bwd = scan_forward, scan_backward
    patch.setitem(sys.modules, "selective_scan_cuda", extension)
    right_bfloat16(patch)


# -- the compiled extension: its two functions by the package's own reference ---------------------------------


def scan_forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any, z: Any, bias: Any, softplus: bool
) -> list[Tensor]:
    """y, a tensor whose odd numbers are the last state, and the gated y where there is a gate z."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    y, last = selective_scan_ref(u, delta, A, B, C, D, None, bias, softplus, return_last_state=True)
    states = torch.stack([torch.full_like(last, torch.nan), last], dim=-1).flatten(-2)[:, :, None]
    return [y, states] if z is None else [y, states, y * torch.nn.functional.silu(z)]


def scan_backward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any, z: Any, bias: Any, dy: Tensor, *rest: Any
) -> list[Any]:
    """The gradients of u, delta, A, B, C, D, bias, and that of z where there is one; None for what is None."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    softplus = rest[-2]
    given = [None if v is None else v.detach().requires_grad_() for v in (u, delta, A, B, C, D, bias, z)]
    with torch.enable_grad():
        y = selective_scan_ref(*given[:6], given[7], given[6], softplus)
    found = iter(torch.autograd.grad(y, [v for v in given if v is not None], dy))
    gradients = [None if v is None else next(found) for v in given]
    return gradients if z is not None else gradients[:7]


# -- Triton's interpreter --------------------------------------------------------------------------------------


def right_bfloat16(patch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter keeps bfloat16 as the integers of its bits, and computes with those integers. Here they are
    numbers: read as float32, rounded to the nearest when written."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    builder: Any = InterpreterBuilder
    cast, dot, binary = builder.cast_impl, builder.create_dot, builder.binary_op

    def wide(value: Any) -> Any:
        if value.dtype.scalar != tl.bfloat16:
            return value
        return TensorHandle(torch.from_numpy(value.data).view(torch.bfloat16).float().numpy(), tl.float32)

    def cast_impl(self: Any, value: Any, kind: Any) -> Any:
        if kind.scalar != tl.bfloat16:
            return cast(self, wide(value), kind)
        single = torch.from_numpy(cast(self, wide(value), tl.float32).data)
        return TensorHandle(single.bfloat16().view(torch.uint16).numpy(), tl.bfloat16)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return dot(self, wide(a), wide(b), *rest)

    def binary_op(self: Any, a: Any, b: Any, op: Any) -> Any:
        result = binary(self, wide(a), wide(b), op)
        return cast_impl(self, result, tl.bfloat16) if a.dtype.scalar == tl.bfloat16 else result

    patch.setattr(builder, "cast_impl", cast_impl)
    patch.setattr(builder, "create_fp_to_fp", lambda self, value, kind, rounding: cast_impl(self, value, kind))
    patch.setattr(builder, "create_dot", create_dot)
    patch.setattr(builder, "binary_op", binary_op)


def imitate_tf32(patch: pytest.MonkeyPatch) -> None:
    """Products of float32 matrices as on a card: a tensor core reads 10 of the 23 bits behind the point."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    builder: Any = InterpreterBuilder
    dot = builder.create_dot

    def short(value: Any) -> Any:
        if value.dtype.scalar != tl.float32:
            return value
        bits = np.ascontiguousarray(value.data).view(np.uint32) & np.uint32(0xFFFFE000)
        return TensorHandle(bits.view(np.float32), tl.float32)

    patch.setattr(builder, "create_dot", lambda self, a, b, *rest: dot(self, short(a), short(b), *rest))
