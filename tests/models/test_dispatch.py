"""Which code computes: mamba-ssm's where it is there and right, else PyTorch's own. The mamba-ssm here is fake."""

import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead import cli
from lookahead.errors import LookaheadError
from lookahead.models import Mamba, Mamba2
from lookahead.models.ops import dispatch
from lookahead.models.ops.selective_scan import SELECTIVE_SCAN, scan_reference, selective_scan
from lookahead.models.ops.ssd import SSD, ssd, ssd_reference

CPU = torch.device("cpu")


def right_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any = None, return_last_state: bool = False) -> Any:
    """As mamba-ssm's, in its layout."""
    y, last = scan_reference(*(v.transpose(1, 2) for v in (u, delta)), A, *(v.transpose(1, 2) for v in (B, C)), None)
    return y.transpose(1, 2), last


def right_ssd(
    x: Any,
    dt: Any,
    A: Any,
    B: Any,
    C: Any,
    chunk_size: int,
    initial_states: Any = None,
    return_final_states: bool = False,
) -> Any:
    assert chunk_size in (64, 128, 256)
    return ssd_reference(x, dt, A, B, C, initial_states)


def wrong_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    """Forgets the decay."""
    return right_scan(u, delta, 0 * A, B, C)


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return v.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 1.2 * gradient


def wrong_backward(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    return right_scan(u, delta, A, WrongGradient.apply(B), C)


def nan_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    y, last = right_scan(u, delta, A, B, C)
    return y * torch.nan, last


def raising(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    raise RuntimeError("no kernel image is available")


def old_scan(u: Any, delta: Any, A: Any, B: Any, C: Any) -> Any:
    return right_scan(u, delta, A, B, C)[0]


Install = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a fake mamba-ssm in place, said to run on this CPU, of which nothing is known yet."""

    def put(scan: Any = right_scan, version: str = "2.3.1", extension: bool = True) -> None:
        parts: dict[str, dict[str, Any]] = {
            "mamba_ssm": {"__version__": version},
            "mamba_ssm.ops.selective_scan_interface": {"selective_scan_fn": scan},
            "mamba_ssm.ops.triton.ssd_combined": {"mamba_chunk_scan_combined": right_ssd},
        }
        if extension:
            parts["selective_scan_cuda"] = {}
        for name, content in parts.items():
            module = types.ModuleType(name)
            vars(module).update({k: v for k, v in content.items() if v is not None})
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(dispatch, "FUSED_DEVICES", ("cpu",))
        for operation in (SELECTIVE_SCAN, SSD):
            monkeypatch.setattr(operation, "verdicts", {})

    return put


def scan_example() -> tuple[Tensor, ...]:
    return SELECTIVE_SCAN.probe_inputs(CPU, torch.float32)


# -- without it ----------------------------------------------------------------------------------------------


def test_on_a_cpu_pytorch_computes_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SELECTIVE_SCAN.choose("auto", CPU, torch.float32)[::2] == (
            "torch",
            "mamba-ssm needs a GPU with CUDA, this is a cpu device",
        )
    with pytest.raises(LookaheadError, match="selective_scan by mamba-ssm is not possible: mamba-ssm needs a GPU"):
        selective_scan(*scan_example(), kernels="mamba_ssm")


def test_where_it_is_not_installed(fake: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    fake()
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)  # what an import of it then says is not that it is missing
    monkeypatch.delitem(sys.modules, "mamba_ssm")
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "editable" not in repr(f)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        way, _, reason = SSD.choose("auto", CPU, torch.float32)
    assert (way, reason) == ("torch", "mamba-ssm is not installed: make gpu installs it")


def test_float64_stays_with_pytorch(fake: Install) -> None:
    fake()
    assert SSD.choose("auto", CPU, torch.float64)[::2] == ("torch", "mamba-ssm does not compute in float64")


# -- there and right -----------------------------------------------------------------------------------------


def test_it_is_used_where_it_is_right(fake: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and gradients through its layout are the reference's; it is compared once."""
    calls: list[int] = []

    def counted(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
        calls.append(u.shape[2])
        return right_scan(u, delta, A, B, C)

    fake(counted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for inputs, call in ((scan_example(), selective_scan), (SSD.probe_inputs(CPU, torch.float32), ssd)):
            found = []
            for way in ("auto", "mamba_ssm", "reference"):
                given = [v.clone().requires_grad_() for v in inputs]
                y, last = call(*given, kernels=way)
                found.append([y, last, *torch.autograd.grad(y.square().sum(), given)])
            torch.testing.assert_close(found[0], found[2])
            torch.testing.assert_close(found[1], found[2])
    assert calls == [70, 70, 70], "one comparison, two calls"


@pytest.mark.parametrize("kind", [Mamba, Mamba2])
def test_models_run_on_it(fake: Install, kind: Any) -> None:
    """The whole forward pass, generation in pieces, bfloat16."""
    fake()
    sizes = {"layers": 2, "width": 16, "state": 4} | ({"head_width": 8} if kind is Mamba2 else {})
    model = kind(11, 20, **sizes)
    tokens = torch.randint(11, (2, 20), generator=torch.Generator().manual_seed(0))
    whole = model(tokens)
    (SELECTIVE_SCAN if kind is Mamba else SSD).verdicts.clear()
    model.kernels = "reference"
    torch.testing.assert_close(whole, model(tokens))
    model.kernels = "auto"
    with torch.no_grad():
        first, cache = model.decode(tokens[:, :9])
        second, _ = model.decode(tokens[:, 9:], cache)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    with torch.autocast("cpu", torch.bfloat16):
        model(tokens).sum().backward()
    operation = SELECTIVE_SCAN if kind is Mamba else SSD
    assert operation.verdicts[CPU, torch.bfloat16][0] is not None
    assert operation.verdicts[CPU, torch.float32][0] is not None


def test_a_gradient_that_it_does_not_have_is_not_missed(fake: Install) -> None:
    fake()
    x, *rest = scan_example()
    y, last = selective_scan(x.requires_grad_(), *rest)
    y.sum().backward(retain_graph=True)
    with pytest.raises(LookaheadError, match="mamba-ssm has no gradient for the last state: take kernels='torch'"):
        last.sum().backward()


def test_from_a_state_pytorch_goes_on(fake: Install) -> None:
    """Mamba's kernel cannot start from one; Mamba-2's can."""
    fake()
    assert SELECTIVE_SCAN.choose("mamba_ssm", CPU, torch.float32, resuming=True)[::2] == (
        "torch",
        "mamba-ssm's cannot start from a state",
    )
    assert SSD.choose("auto", CPU, torch.float32, resuming=True)[0] == "mamba_ssm"


def test_mamba_2_does_without_the_compiled_extension(fake: Install) -> None:
    fake(extension=False)
    assert SSD.choose("auto", CPU, torch.float32)[0] == "mamba_ssm"
    with pytest.warns(
        RuntimeWarning, match="its compiled extension selective_scan_cuda is missing: make gpu builds it"
    ):
        assert SELECTIVE_SCAN.choose("auto", CPU, torch.float32)[0] == "torch"
    assert "selective_scan_cuda" not in sys.modules


# -- there, but not right ------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong": ({"scan": wrong_scan}, r"its output is off by .* of the reference's largest value \(0.01 is allowed\)"),
    "wrong gradient": ({"scan": wrong_backward}, "its gradient of B is off by 2.0e-01"),
    "no numbers": ({"scan": nan_scan}, "its output is off by nan"),
    "raises": ({"scan": raising}, "it raised RuntimeError: no kernel image is available"),
    "too old": ({"version": "1.2.0.post1"}, r"version 1.2.0.post1 is not one of those known to fit: 2.2 to 2.x"),
    "too new": ({"version": "3.0.0"}, "version 3.0.0 is not one of those known to fit"),
    "no version": ({"version": "unknown"}, "version unknown is not one of those known to fit"),
    "other signature": ({"scan": old_scan}, "selective_scan_fn of version 2.3.1 takes no return_last_state"),
    "no such function": ({"scan": None}, "version 2.3.1 has no selective_scan_fn in mamba_ssm.ops"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_once_and_not_used(fault: str, fake: Install) -> None:
    options, message = FAULTS[fault]
    fake(**options)
    inputs = scan_example()
    with pytest.warns(RuntimeWarning, match=f"selective_scan: mamba-ssm is there but not used, .*: {message}") as seen:
        y, _ = selective_scan(*inputs)
    assert len(seen) == 1
    torch.testing.assert_close(y, scan_reference(*inputs, None)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selective_scan(*inputs)
    with pytest.raises(LookaheadError, match=f"by mamba-ssm is not possible: {message}.*; take kernels='auto'"):
        selective_scan(*inputs, kernels="mamba_ssm")


def test_a_package_that_breaks_at_import(fake: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    fake()
    monkeypatch.delitem(sys.modules, "mamba_ssm")
    (tmp_path / "mamba_ssm.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match="mamba-ssm cannot be imported: No module named 'nothing_of_this_name'"):
        assert SSD.choose("auto", CPU, torch.float32)[0] == "torch"


# -- who chooses ---------------------------------------------------------------------------------------------


def test_the_environment_chooses_for_a_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_KERNELS", "reference")
    assert dispatch.resolve("auto") == "reference"
    assert dispatch.resolve("torch") == "torch"
    monkeypatch.setenv("LOOKAHEAD_KERNELS", "fast")
    with pytest.raises(LookaheadError, match="LOOKAHEAD_KERNELS is 'fast'; known: auto, reference, torch, mamba_ssm"):
        selective_scan(*scan_example())


def test_info_says_what_is_used_and_why(fake: Install, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("device: cpu (")
    assert lines[1].startswith(f"torch: {torch.__version__} (")
    reason = "mamba-ssm needs a GPU with CUDA, this is a cpu device"
    ways = [(name, kind) for name in ("selective_scan", "ssd") for kind in ("float32", "bfloat16")]
    assert lines[2:] == [f"{name} in {kind}: torch ({reason})" for name, kind in ways]
    fake(wrong_scan)
    with pytest.warns(RuntimeWarning, match="there but not used"):
        assert cli.main(["info", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("selective_scan in float32: torch (its output is off by ")
    assert lines[4] == "ssd in float32: mamba_ssm"
    assert cli.main(["info", "--device", "tpu9"]) == 1
