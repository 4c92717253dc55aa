"""mamba-ssm's own code, run on a CPU: its Triton kernels and whole mixers, forward and backward, against ours.

`make test-kernels` installs it and runs these. What they cannot show is a card's: speed, the compiled selective scan
(here its two functions are the package's own reference, behind the package's own autograd function), occupancy.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import install_mamba_ssm
import triton_on_cpu
from lookahead.models.mamba import Mamba2Mixer, MambaMixer
from lookahead.models.ops import dispatch
from lookahead.models.ops.selective_scan import SELECTIVE_SCAN, scan_reference
from lookahead.models.ops.ssd import SSD, ssd_reference
from lookahead.models.recurrent import Memory

pytestmark = pytest.mark.kernels

CPU = torch.device("cpu")
FLOAT32 = 1e-4
"""Of the largest value; 1.5e-5 was seen."""
NAMES = ("y", "last state", "x", "dt", "A", "B", "C", "state")


@pytest.fixture(scope="module", autouse=True)
def on_a_cpu() -> Iterator[None]:
    assert os.environ.get("TRITON_INTERPRET") == "1", "make test-kernels sets what these tests need"
    with pytest.MonkeyPatch.context() as patch:
        triton_on_cpu.prepare(patch)
        patch.setattr(dispatch, "FUSED_DEVICES", ("cpu",))
        for operation in (SELECTIVE_SCAN, SSD):
            patch.setattr(operation, "verdicts", {})
        yield


def ssd_inputs(
    steps: int, heads: int, groups: int, width: int, states: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """x, dt, A, B, C and a state, of two examples."""
    chance = torch.Generator().manual_seed(steps)
    shapes = (heads, width), (groups, states), (groups, states)
    x, B, C = (torch.randn(2, steps, *shape, generator=chance).to(dtype) for shape in shapes)
    dt = torch.rand(2, steps, heads, generator=chance).square()
    A = -torch.rand(heads, generator=chance).add(0.1)
    return [x, dt, A, B, C, torch.randn(2, heads, width, states, generator=chance)]


def outcome(way: Any, inputs: list[Tensor], counted: int = 2) -> list[Tensor]:
    """What comes out, and the gradients of the inputs of a sum that weighs every number differently."""
    inputs = [v.detach().requires_grad_() for v in inputs]
    found = way(*inputs, *([] if len(inputs) == 6 else [None]))
    total = sum((v * torch.linspace(-1, 1, v.numel()).view_as(v)).sum() for v in found[:counted])
    return [*found, *torch.autograd.grad(total, inputs)]  # type: ignore[arg-type]


def assert_agree(found: list[Tensor], right: list[Tensor], tolerance: float) -> None:
    """Each within a share of its largest value; A may be off by twice that."""
    for name, a, b in zip(NAMES, found, right, strict=False):
        off, allowed = (a - b).abs().max().item(), tolerance * b.abs().max().item() * (2 if name == "A" else 1)
        assert off <= allowed, f"{name} is off by {off}, allowed is {allowed}"


# -- SSD -------------------------------------------------------------------------------------------------------

SIZES: dict[str, tuple[tuple[int, int, int, int, int], bool, int | None]] = {
    "one step": ((1, 2, 1, 4, 8), True, None),
    "groups": ((37, 6, 3, 8, 16), False, None),
    "odd sizes": ((21, 3, 1, 5, 3), True, None),
    "up to a chunk's end": ((128, 2, 1, 16, 16), True, 64),
    "one step beyond": ((65, 2, 2, 16, 16), True, 64),
}
"""Steps, heads, groups, width, states; from a state; steps in a chunk, where it is not the library's choice."""


@pytest.mark.parametrize("case", SIZES)
def test_ssd(case: str) -> None:
    """The kernels as the library calls them against the readable loop in float64."""
    sizes, resuming, chunk = SIZES[case]
    inputs = ssd_inputs(*sizes)[: 6 if resuming else 5]
    function = SSD.load(CPU, torch.float32)

    def called(**given: Any) -> Any:
        return function(**{**given, **({} if chunk is None else {"chunk_size": chunk})})

    found = outcome(lambda *given: SSD.fused(called, *given), inputs)
    assert_agree(found, outcome(ssd_reference, [v.double() for v in inputs]), FLOAT32)


def test_ssd_of_views() -> None:
    """Parts of one wide tensor, as a projection gives them, and time before examples."""
    inputs = ssd_inputs(37, 4, 2, 8, 8)
    wide = torch.cat([v.flatten(2) for v in (inputs[0], inputs[3], inputs[4])], dim=-1)
    parts = wide.split([32, 16, 16], dim=-1)
    x, B, C = (v.unflatten(-1, (n, -1)) for v, n in zip(parts, (4, 2, 2), strict=True))
    dt = inputs[1].transpose(0, 1).contiguous().transpose(0, 1)
    views = [x, dt, inputs[2], B, C, inputs[5].mT.contiguous().mT]
    assert sum(not v.is_contiguous() for v in views) == 5
    function = SSD.load(CPU, torch.float32)
    found = outcome(lambda *given: SSD.fused(function, *given), views)
    assert_agree(found, outcome(ssd_reference, [v.double() for v in inputs]), FLOAT32)


def test_ssd_in_bfloat16() -> None:
    inputs = ssd_inputs(37, 4, 2, 8, 16)
    inputs = [v.bfloat16() if i in (0, 3, 4) else v for i, v in enumerate(inputs)]
    function = SSD.load(CPU, torch.bfloat16)
    found = outcome(lambda *given: SSD.fused(function, *given), inputs)
    assert found[0].dtype == torch.bfloat16
    assert_agree(found, outcome(ssd_reference, [v.double() for v in inputs]), 5e-2)


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, call: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        result = call(*given, **(named or {}))
        sizes = [v.numel() for v in tree_leaves(result) if isinstance(v, Tensor) and v.is_floating_point()]
        self.elements = max(self.elements, *sizes, 0)
        return result


@pytest.mark.parametrize("sizes", [(37, 4, 2, 8, 16), (3, 4, 1, 16, 128)])
def test_no_tensor_is_larger_than_the_library_counts(sizes: tuple[int, int, int, int, int]) -> None:
    """So that a call of no more than 2^31 elements can be made."""
    inputs = ssd_inputs(*sizes)
    function = SSD.load(CPU, torch.float32)
    with Largest() as seen:
        outcome(lambda *given: SSD.fused(function, *given), inputs)
    assert seen.elements == 2 * SSD.elements(*inputs[:5])


# -- the selective scan ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 37])
def test_selective_scan(steps: int) -> None:
    """The package's autograd function, as the library calls it."""
    inputs = list(SELECTIVE_SCAN.probe_inputs(steps)[:5])
    function = SELECTIVE_SCAN.load(CPU, torch.float32)
    found = outcome(lambda *given: SELECTIVE_SCAN.fused(function, *given), inputs, counted=1)
    assert_agree(found, outcome(scan_reference, [v.double() for v in inputs], counted=1), FLOAT32)


# -- the library's own comparison ------------------------------------------------------------------------------


def test_the_comparison_accepts_ssd_with_the_rounding_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensor cores read float32 with 10 bits; 8.1e-3 was seen, 1e-2 is allowed."""
    triton_on_cpu.imitate_tf32(monkeypatch)
    assert SSD.choose("mamba_ssm", CPU, torch.float32)[0] == "mamba_ssm"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_comparison_accepts_the_selective_scan(dtype: torch.dtype) -> None:
    assert SELECTIVE_SCAN.choose("mamba_ssm", CPU, dtype)[0] == "mamba_ssm"


# -- whole mixers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 37])
@pytest.mark.parametrize("kind", [MambaMixer, Mamba2Mixer])
def test_a_mixer_is_the_package_s(kind: Any, steps: int) -> None:
    """With its weights, which have the same names: output, gradients of the input and of every weight, all ways."""
    from mamba_ssm import Mamba, Mamba2

    torch.manual_seed(0)
    if kind is MambaMixer:
        ours, theirs = MambaMixer(12, state=5), Mamba(12, d_state=5, use_fast_path=False)
    else:
        ours = Mamba2Mixer(12, state=8, head_width=4, groups=2)
        theirs = Mamba2(12, d_state=8, headdim=4, ngroups=2, chunk_size=64, use_mem_eff_path=False)
    weights = {name.replace("norm.weight", "norm"): p for name, p in theirs.named_parameters()}
    with torch.no_grad():
        for p in weights.values():
            p += 0.1 * torch.randn_like(p)  # ones and zeros would hide a swap
    ours.load_state_dict(weights)
    x = torch.randn(2, steps, 12)
    towards = torch.randn(2, steps, 12)

    def measured(mixer: Any, way: Any) -> list[Tensor]:
        given = x.clone().requires_grad_()
        y = way(given)
        named = dict(mixer.named_parameters())
        return [y, *torch.autograd.grad((y * towards).sum(), [given, *(named[name] for name in sorted(named))])]

    right = measured(theirs, theirs)
    for kernels in ("reference", "torch", "mamba_ssm"):
        found = measured(ours, lambda given, way=kernels: ours(given, Memory(), steps, way)[0])
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            assert (a - b).abs().max() <= 1e-5 * b.abs().max()


# -- make gpu --------------------------------------------------------------------------------------------------


def test_the_real_setup_script_compiles_for_one_architecture() -> None:
    """That of the pinned version."""
    import mamba_ssm

    mamba, _ = install_mamba_ssm.pinned()
    assert mamba == f"mamba-ssm=={mamba_ssm.__version__}"
    setup = (Path(mamba_ssm.__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    patched = install_mamba_ssm.one_architecture(setup, (9, 0))
    compile(patched, "setup.py", "exec")
    before, after = patched.split('cc_flag = ["-gencode", "arch=compute_90,code=sm_90"]')
    assert 'cc_flag.append("arch=compute_75,code=sm_75")' in before
    assert "cc_flag.append" not in after.split("if HIP_BUILD:")[1]
    assert "+ cc_flag" in after
