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
from lookahead.models.ops.selective_scan import SELECTIVE_SCAN, scan_reference, scan_torch, selective_scan
from lookahead.models.ops.ssd import SSD, ssd, ssd_torch
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from lookahead.training.step import Step

CPU = torch.device("cpu")


def right_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any = None, return_last_state: bool = False) -> Any:
    """As mamba-ssm's, in its layout."""
    y, last = scan_torch(*(v.transpose(1, 2) for v in (u, delta)), A, *(v.transpose(1, 2) for v in (B, C)), None)
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
    return ssd_torch(x, dt, A, B, C, initial_states)


def wrong_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    """Forgets the decay."""
    return right_scan(u, delta, 0 * A, B, C)


def with_gradient_times(factor: float, v: Tensor) -> Tensor:
    """v, with a gradient that is off."""
    return factor * v + ((1 - factor) * v).detach()


def wrong_backward(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    return right_scan(u, delta, A, with_gradient_times(1.2, B), C)


def wrong_last_state(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    y, last = right_scan(u, delta, A, B, C)
    return y, 0.9 * last


def forgetful_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
    """Begins anew with every 2,048 steps."""
    pieces = zip(*(v.split(2048, 2) for v in (u, delta, B, C)), strict=True)
    parts = [right_scan(*piece[:2], A, *piece[2:]) for piece in pieces]
    return torch.cat([y for y, _ in parts], dim=2), parts[-1][1]


def wrong_ssd(change: Callable[..., Any]) -> Callable[..., Any]:
    """An SSD that is right but for what `change` does with (x, dt, A, B, C, state), given `ssd_torch` as well."""

    def computed(
        x: Any,
        dt: Any,
        A: Any,
        B: Any,
        C: Any,
        chunk_size: int,
        initial_states: Any = None,
        return_final_states: bool = False,
    ) -> Any:
        return change(ssd_torch, x, dt, A, B, C, initial_states)

    return computed


def forgetful_chunks(right: Any, x: Any, dt: Any, A: Any, B: Any, C: Any, state: Any) -> Any:
    """Passes no state on after 256 steps."""
    parts = []
    for piece in zip(*(v.split(256, 1) for v in (x, dt, B, C)), strict=True):
        parts.append(right(piece[0], piece[1], A, *piece[2:], state))
        state = None
    return torch.cat([y for y, _ in parts], dim=1), parts[-1][1]


def without_gradient_to_the_state(right: Any, *given: Any) -> Any:
    *inputs, state = given
    return right(*inputs, None if state is None else with_gradient_times(0.0, state))


def without_gradient_from_the_state(right: Any, *given: Any) -> Any:
    y, last = right(*given)
    return y, with_gradient_times(0.0, last)


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

    def put(scan: Any = right_scan, version: str = "2.3.1", extension: bool = True, chunks: Any = right_ssd) -> None:
        parts: dict[str, dict[str, Any]] = {
            "mamba_ssm": {"__version__": version},
            "mamba_ssm.ops.selective_scan_interface": {"selective_scan_fn": scan},
            "mamba_ssm.ops.triton.ssd_combined": {"mamba_chunk_scan_combined": chunks},
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
    return SELECTIVE_SCAN.probe_inputs(70)[:5]


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
        for inputs, call in ((scan_example(), selective_scan), (SSD.probe_inputs(70)[:5], ssd)):
            found = []
            for way in ("auto", "mamba_ssm", "reference"):
                given = [v.clone().requires_grad_() for v in inputs]
                y, last = call(*given, kernels=way)
                found.append([y, last, *torch.autograd.grad(y.square().sum(), given)])
            torch.testing.assert_close(found[0], found[2], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(found[1], found[2], atol=1e-4, rtol=1e-4)
    assert calls == [70, 2100, 70, 70], "one comparison at two lengths, two calls"


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
    "last state": ({"scan": wrong_last_state}, "its last state is off by 1.0e-01 .* in 70 steps"),
    "second chunk": ({"scan": forgetful_scan}, "its output is off by .* in 2100 steps"),
    "wrong": ({"scan": wrong_scan}, r"its output is off by .* of the largest value in 70 steps \(0.01 is allowed\)"),
    "wrong gradient": ({"scan": wrong_backward}, "its gradient of B is off by 2.0e-01"),
    "no numbers": ({"scan": nan_scan}, "its output is off by nan"),
    "raises": ({"scan": raising}, "it raised RuntimeError: no kernel image is available"),
    "too old": ({"version": "1.2.0.post1"}, r"version 1.2.0.post1 is not one of those known to fit: 2.3 to 2.x"),
    "just too old": ({"version": "2.2.6"}, r"version 2.2.6 is not one of those known to fit: 2.3 to 2.x"),
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


WRONG_CHUNKS: dict[str, tuple[Callable[..., Any], str]] = {
    "chunks": (forgetful_chunks, "its output is off by .* in 300 steps"),
    "start": (lambda right, *given: right(*given[:5], None), "its output is off by .* in 300 steps from a state"),
    "last state": (
        lambda right, *given: (right(*given)[0], 0 * right(*given)[1]),
        "its last state is off by 1.0e.00 .* in 300 steps",
    ),
    "gradient to the start": (without_gradient_to_the_state, "its gradient of state is off by 1.0e.00 .* from a state"),
    "gradient from the last state": (without_gradient_from_the_state, "its gradient of .* is off by .* in 300 steps"),
}


@pytest.mark.parametrize("fault", WRONG_CHUNKS)
def test_chunks_and_states_that_are_wrong_are_noticed(fault: str, fake: Install) -> None:
    """Each is right within one chunk that starts from nothing."""
    change, message = WRONG_CHUNKS[fault]
    fake(chunks=wrong_ssd(change))
    with pytest.warns(RuntimeWarning, match=f"ssd: mamba-ssm is there but not used, .*: {message}"):
        assert SSD.choose("auto", CPU, torch.float32)[0] == "torch"


@pytest.mark.parametrize(("factor", "way"), [(1.08, "mamba_ssm"), (1.12, "torch")])
@pytest.mark.filterwarnings("ignore:ssd. mamba-ssm is there but not used")
def test_bfloat16_may_lose_more_in_the_gradient_of_the_decay(factor: float, way: str, fake: Install) -> None:
    """It is the sum over all steps and examples of what mostly cancels."""
    fake(chunks=wrong_ssd(lambda right, x, dt, A, *rest: right(x, dt, with_gradient_times(factor, A), *rest)))
    assert SSD.choose("auto", CPU, torch.bfloat16)[0] == way


@pytest.mark.parametrize("operation", [SELECTIVE_SCAN, SSD], ids=lambda one: one.name)
def test_a_single_step_can_be_compared(operation: Any, fake: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing, no decay has a part in it: both gradients of A are 0."""
    fake()
    monkeypatch.setattr(operation, "probe_steps", (1,))
    assert operation.choose("auto", CPU, torch.float32)[0] == "mamba_ssm"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), RuntimeError("CUDA error: out of memory")])
def test_a_full_device_is_no_verdict(error: Exception, fake: Install) -> None:
    """Who called may make room; the next call compares again."""

    def full(*_: Any) -> Any:
        raise error

    fake(chunks=wrong_ssd(full))
    with pytest.raises(torch.OutOfMemoryError, match=r"full|out of memory"):
        ssd(*SSD.probe_inputs(3)[:5])
    fake()
    assert SSD.choose("auto", CPU, torch.float32)[0] == "mamba_ssm"


def test_an_extension_that_cannot_be_loaded_is_not_said_to_be_missing(
    fake: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    fake(extension=False)
    (tmp_path / "selective_scan_cuda.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(
        RuntimeWarning, match=r"extension selective_scan_cuda cannot be loaded \(ImportError: undefined symbol: _ZN3c10"
    ):
        assert SELECTIVE_SCAN.choose("auto", CPU, torch.float32)[0] == "torch"
    assert SSD.choose("auto", CPU, torch.float32)[0] == "mamba_ssm"
    assert "selective_scan_cuda" not in sys.modules


def test_a_part_that_breaks_at_import_is_not_said_to_have_no_function(
    fake: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake()
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.triton.ssd_combined", None)
    with pytest.warns(RuntimeWarning, match="mamba_ssm.ops.triton.ssd_combined of version 2.3.1 cannot be imported: "):
        assert SSD.choose("auto", CPU, torch.float32)[0] == "torch"


def test_a_package_that_breaks_at_import(fake: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    fake()
    monkeypatch.delitem(sys.modules, "mamba_ssm")
    (tmp_path / "mamba_ssm.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(
        RuntimeWarning, match="mamba-ssm cannot be imported: ModuleNotFoundError: No module named 'nothing_"
    ):
        assert SSD.choose("auto", CPU, torch.float32)[0] == "torch"


# -- how much at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [SELECTIVE_SCAN, SSD], ids=lambda one: one.name)
def test_a_call_has_no_more_than_it_can_count(operation: Any, fake: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five examples, two at a time: results and gradients are those of all at once; from states, too."""
    rows: list[int] = []
    fused = operation.fused

    def counted(function: Any, x: Tensor, *rest: Any) -> Any:
        rows.append(len(x))
        return fused(function, x, *rest)

    fake()
    *inputs, state = (v if len(v) != 2 else torch.cat([v, v.flip(1), v[:1]]) for v in operation.probe_inputs(9))
    state = state if operation.resumes else None
    operation.verdict(CPU, torch.float32)
    monkeypatch.setattr(operation, "fused", counted)
    found = []
    for most in (2**31, 2 * operation.elements(*inputs) + 1):
        monkeypatch.setattr(dispatch, "FUSED_ELEMENTS", most)
        given = [v.clone().requires_grad_() for v in inputs]
        y, last = operation("mamba_ssm", given, state)
        found.append([y, last, *torch.autograd.grad(y.square().sum(), given)])
    assert rows == [5, 2, 2, 1]
    for pieces, whole in zip(*reversed(found), strict=True):  # sums in another order: the last digit of the largest
        torch.testing.assert_close(pieces, whole, atol=1e-7 * whole.abs().max().item(), rtol=1e-5)
    monkeypatch.setattr(dispatch, "FUSED_ELEMENTS", operation.elements(*inputs) - 1)
    with pytest.raises(LookaheadError, match="an example of 9 steps is too large for mamba-ssm: take kernels='torch'"):
        operation("mamba_ssm", inputs, state)


def test_a_part_of_a_wider_tensor_counts_with_all_of_it() -> None:
    """A kernel finds the next example where the whole row ends: [2, 3, 40] of 4 heads by 2 and twice 4 states."""
    x, B, C = torch.zeros(2, 1000, 40).split([8, 16, 16], dim=-1)
    inputs = x.unflatten(-1, (4, 2)), torch.zeros(2, 1000, 4), torch.zeros(4), *(v[:, :, None] for v in (B, C))
    assert SSD.elements(*inputs) == max(40 * 1000, 4 * 4 * 2 * 16, 4 * 256**2)


# -- who chooses ---------------------------------------------------------------------------------------------


def test_the_environment_chooses_for_a_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_KERNELS", "reference")
    assert dispatch.resolve("auto") == "reference"
    assert dispatch.resolve("torch") == "torch"
    monkeypatch.setenv("LOOKAHEAD_KERNELS", "fast")
    with pytest.raises(LookaheadError, match="LOOKAHEAD_KERNELS is 'fast'; known: auto, reference, torch, mamba_ssm"):
        selective_scan(*scan_example())


@pytest.mark.parametrize("scan", [right_scan, wrong_scan])
@pytest.mark.filterwarnings("ignore:selective_scan. mamba-ssm is there but not used")
def test_the_compiler_does_not_look_into_the_choice(scan: Any, fake: Install) -> None:
    """Kernels are tried as they are, once; those that are right are called as they are."""
    compiling: list[tuple[int, bool]] = []

    def watched(u: Any, delta: Any, A: Any, B: Any, C: Any, return_last_state: bool = False) -> Any:
        compiling.append((u.shape[2], torch.compiler.is_compiling()))
        return scan(u, delta, A, B, C)

    fake(watched)
    model = Mamba(11, 20, layers=2, width=16, state=4)
    tokens = torch.randint(11, (2, 20), generator=torch.Generator().manual_seed(0))
    torch.compiler.reset()
    compiled = torch.compile(lambda: model(tokens).square().sum(), backend="eager")
    for _ in range(2):
        compiled().backward()
    tried, used = ([(70, False), (2100, False)], [(20, False)] * 4) if scan is right_scan else ([(70, False)], [])
    assert compiling == tried + used
    torch.testing.assert_close(compiled(), model(tokens).square().sum())


def test_without_kernels_a_model_is_one_graph_for_the_compiler(fake: Install) -> None:
    """Once what there is has been found out, as a step does before it compiles."""
    model = Mamba2(11, 20, layers=2, width=16, state=4, head_width=8)
    model.kernels_used(CPU, torch.float32)
    tokens = torch.randint(11, (2, 20), generator=torch.Generator().manual_seed(0))
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), model(tokens))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_chooses_before_it_compiles(precision: Any, fake: Install) -> None:
    fake()
    run = Run(task=PathStar(2, 3, 10), model="mamba2-tiny", precision=precision)
    task, objective = run.build()
    Step(objective, task, run, 0, engine="compiled")
    assert list(SSD.verdicts) == [(CPU, getattr(torch, precision))]


def test_info_says_what_is_used_and_why(fake: Install, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("device: cpu (")
    assert lines[1].startswith(f"torch: {torch.__version__} (")
    reason = "mamba-ssm needs a GPU with CUDA, this is a cpu device"
    ways = [(name, kind) for name in ("selective_scan", "ssd") for kind in ("float32", "bfloat16")]
    assert lines[2:] == [f"{name} in {kind}: torch ({reason})" for name, kind in ways]
    fake(wrong_scan)
    assert cli.main(["info", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "there but not used" in said.err
    lines = said.out.splitlines()
    assert lines[2].startswith("selective_scan in float32: torch (its output is off by ")
    assert lines[4] == "ssd in float32: mamba_ssm"
    assert cli.main(["info", "--device", "tpu9"]) == 1
