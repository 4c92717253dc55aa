"""On a GPU: mamba-ssm's kernels and PyTorch's own way are one model. Also what `make gpu` does before it compiles.

pytest tests/models/test_gpu.py -s -m gpu      also prints tokens a second against the length of a sequence
"""

import ast
import importlib
import io
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import install_mamba_ssm
from lookahead.errors import LookaheadError
from lookahead.models import Mamba, Mamba2, Transformer
from lookahead.models.ops.dispatch import Unusable, import_mamba_ssm
from lookahead.models.ops.selective_scan import SELECTIVE_SCAN, scan_torch
from lookahead.models.ops.ssd import SSD, ssd_torch
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from lookahead.training.checkpoints import Checkpoints
from lookahead.training.sitting import OutOfTime
from lookahead.training.step import Step
from trainer import train_one

OPERATIONS = {"selective_scan": SELECTIVE_SCAN, "ssd": SSD}


def fused_or_skip(name: str, dtype: torch.dtype) -> Any:
    """mamba-ssm's function; skips where it is not installed, fails where it is and cannot be used."""
    try:
        _, fault = import_mamba_ssm()
    except Unusable as unusable:
        if unusable.expected:
            pytest.skip(str(unusable))
        raise
    if OPERATIONS[name].needs_extension and fault.endswith("is missing: make gpu builds it"):
        pytest.skip(fault)
    return OPERATIONS[name].load(torch.device("cuda", 0), dtype)


def inputs_of(name: str, length: int, dtype: torch.dtype) -> list[Tensor]:
    """Of the width of a small model, on the GPU: x, dt, A, B, C."""
    chance = torch.Generator().manual_seed(length)
    b, heads, width, state = 2, 4, 32, 16
    shapes = {
        "selective_scan": [(b, length, heads * width), (b, length, heads * width), (heads * width, state)],
        "ssd": [(b, length, heads, width), (b, length, heads), (heads,)],
    }[name]
    written = (b, length, state) if name == "selective_scan" else (b, length, 2, state)
    x, dt, A, B, C = (torch.randn(*shape, generator=chance) for shape in (*shapes, written, written))
    dt, A = torch.nn.functional.softplus(dt - 3), -torch.exp(A)
    x, B, C = (v.to(dtype) for v in (x, B, C))
    return [v.cuda().requires_grad_() for v in (x, dt, A, B, C)]


def outcome(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, y.numel(), device=y.device).view_as(y)
    return [y, *torch.autograd.grad((y.float() * weights).sum(), inputs)]


@pytest.mark.gpu
@pytest.mark.parametrize("length", [1, 63, 200, 2048])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-2), (torch.bfloat16, 5e-2)], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_mamba_ssm_is_the_plain_way(name: str, dtype: torch.dtype, tolerance: float, length: int) -> None:
    """Forward and backward. TF32 has 10 bits, bfloat16 8; each may lose some more in the sums."""
    fused = fused_or_skip(name, dtype)
    plain = scan_torch if name == "selective_scan" else ssd_torch
    inputs = inputs_of(name, length, dtype)
    right = outcome(plain(*inputs, None)[0], inputs)
    found = outcome(OPERATIONS[name].fused(fused, *inputs, None)[0], inputs)
    for i, (a, b) in enumerate(zip(found, right, strict=True)):
        off, largest = (a.float() - b.float()).abs().max(), b.float().abs().max()
        assert off <= tolerance * largest + 1e-6, f"number {i} is off by {off:.1e} of {largest:.1e}"


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_plain_way_on_a_gpu_is_the_one_on_a_cpu(name: str) -> None:
    """Where a chunk is computed by doubling; in float64."""
    plain = scan_torch if name == "selective_scan" else ssd_torch
    inputs = [v.detach().double().requires_grad_() for v in inputs_of(name, 150, torch.float32)]
    found = outcome(plain(*inputs, None)[0], inputs)
    on_cpu = [v.detach().cpu().requires_grad_() for v in inputs]
    right = outcome(plain(*on_cpu, None)[0], on_cpu)
    torch.testing.assert_close([v.cpu() for v in found], right, atol=1e-9, rtol=1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Mamba, Mamba2])
def test_models_on_a_gpu(kind: Any) -> None:
    """By whatever "auto" takes, against the reference: training pass and generation, float32 and bfloat16."""
    torch.manual_seed(0)
    model = kind(30, 70, layers=2, width=64, **({"head_width": 32} if kind is Mamba2 else {})).cuda()
    tokens = torch.randint(30, (4, 70), device="cuda")
    model.kernels = "reference"
    exact = model.unembed(model(tokens))
    model.kernels = "auto"
    for precision, tolerance in ((torch.float32, 1e-2), (torch.bfloat16, 1e-1)):
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = model.unembed(model(tokens))
            with torch.no_grad():
                first, cache = model.decode(tokens[:, :33])
                second, _ = model.decode(tokens[:, 33:], cache)
                stepped = model.unembed(torch.cat([first, second], dim=1))
        for found in (logits, stepped):
            assert (found.float() - exact).abs().max() < tolerance * exact.abs().max()
        logits.float().logsumexp(-1).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.gpu
def test_throughput_against_length(capsys: pytest.CaptureFixture[str]) -> None:
    """Training tokens a second of the mini models in bfloat16, 2^15 tokens a step; a report, nothing is asserted but
    that every way finishes."""
    lengths, lines = (64, 256, 1024, 4096), []
    models: dict[str, tuple[Any, dict[str, Any]]] = {"transformer": (Transformer, Transformer.presets["mini"])}
    for kind, preset in ((Mamba, "mamba-mini"), (Mamba2, "mamba2-mini")):
        name = "selective_scan" if kind is Mamba else "ssd"
        device = torch.device("cuda", 0)
        ways = ["torch", *(["mamba_ssm"] if OPERATIONS[name].fused_function(device, torch.bfloat16)[0] else [])]
        models |= {f"{kind.name} {way}": (kind, {**kind.presets[preset], "kernels": way}) for way in ways}
    for title, (kind, options) in models.items():
        model = kind(64, max(lengths), **options).cuda()
        rates = []
        for length in lengths:
            tokens = torch.randint(64, (2**15 // length, length), device="cuda")
            for repeat in range(4):
                if repeat == 1:
                    torch.cuda.synchronize()
                    begun = time.perf_counter()
                with torch.autocast("cuda", torch.bfloat16):
                    logits = model.unembed(model(tokens))
                logits.float().logsumexp(-1).mean().backward()
            torch.cuda.synchronize()
            rates.append(3 * 2**15 / (time.perf_counter() - begun))
        lines.append(f"{title:20}" + "".join(f"{rate / 1e3:10.0f}" for rate in rates))
        del model
    with capsys.disabled():
        print(f"\n{'1000 tokens a second':20}" + "".join(f"{length:10}" for length in lengths), *lines, sep="\n")
    assert len(lines) == len(models)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("model", ["tiny", "mamba-tiny"])
def test_a_captured_step_is_the_step(model: str, precision: Any, tolerance: float, optimizer: Any) -> None:
    """Twelve losses, three of them before the recording; data, rate and the order of a fixed set change in between."""
    run = Run(
        task=PathStar(2, 4, 10), model=model, optimizer=optimizer, precision=precision, schedule="cosine", steps=100,
        batch_size=64, train_examples=300, warmup=5,
    )  # fmt: skip
    losses = {}
    for engine in ("eager", "captured"):
        task, objective = run.build()
        take = Step(objective.cuda(), task, run, run.seed, engine)  # type: ignore[arg-type]
        losses[engine] = torch.stack([take(k) for k in range(12)])
    torch.testing.assert_close(losses["captured"], losses["eager"], rtol=tolerance, atol=0)


@pytest.mark.gpu
def test_a_captured_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Of the plain loop, and the other way round: the losses are those of an undisturbed run, up to rounding.

    Not the weights: attention does not depend on the bias of the keys, so that AdamW moves it by rounding alone.
    """
    run = Run(task=PathStar(2, 4, 10), optimizer="muon", steps=40, evaluate_every=20, batch_size=64)

    def measure(objective: Any) -> dict[str, Any]:
        return {"autoregressive_accuracy": 0.0}

    task, whole = run.build()
    train_one(whole.cuda(), task, run, measure, engine="eager")
    examples = [value.cuda() for value in task.sample("test", torch.arange(64))]
    expected = whole(*examples).tokens
    for first, second in (("eager", "captured"), ("captured", "eager")):
        folder = tmp_path / first
        late = time.monotonic()
        with pytest.raises(OutOfTime):
            train_one(run.build()[1].cuda(), task, run, measure, checkpoints=Checkpoints(folder, run.id), deadline=late,
                  engine=first)  # type: ignore[arg-type]  # fmt: skip
        objective = run.build()[1].cuda()
        train_one(objective, task, run, measure, checkpoints=Checkpoints(folder, run.id), engine=second)  # type: ignore[arg-type]
        found = objective(*examples).tokens
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-2 * expected.max().item())


# -- what make gpu does before it compiles -------------------------------------------------------------------

SETUP = """
if not SKIP_CUDA_BUILD:
    if True:
        cc_flag.append("-gencode")
        cc_flag.append("arch=compute_80,code=sm_80")
        if bare_metal_version >= Version("11.8"):
            cc_flag.append("-gencode")
            cc_flag.append("arch=compute_90,code=sm_90")

    if HIP_BUILD:

        extra_compile_args = {"nvcc": [] + cc_flag}
    else:
        extra_compile_args = {"nvcc": ["-O3"] + cc_flag}
"""


def test_one_architecture_is_compiled() -> None:
    """The setup script, run, gives the compiler one."""
    patched = install_mamba_ssm.one_architecture(SETUP, (8, 9))
    names = {"SKIP_CUDA_BUILD": False, "HIP_BUILD": False, "cc_flag": [], "bare_metal_version": 13, "Version": float}
    exec(compile(ast.parse(patched), "setup.py", "exec"), names)
    assert names["extra_compile_args"] == {"nvcc": ["-O3", "-gencode", "arch=compute_89,code=sm_89"]}


def test_another_setup_script_is_refused() -> None:
    with pytest.raises(LookaheadError, match="names its architectures in another way: take the version in"):
        install_mamba_ssm.one_architecture("setup()", (9, 0))


@pytest.mark.skipif(torch.version.cuda is not None, reason="needs a torch without CUDA")
def test_without_cuda_nothing_is_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(install_mamba_ssm.subprocess, "run", lambda *a, **k: pytest.fail("something was started"))
    assert install_mamba_ssm.main([]) == 1
    assert "is built without CUDA, and mamba-ssm's kernels are CUDA's" in capsys.readouterr().err


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """The calls of pip, with their environment; none is done, but a source is there after its download."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def call(command: list[str], environment: dict[str, str]) -> None:
        calls.append((command, environment))
        if "download" in command:
            with tarfile.open(Path(command[command.index("--dest") + 1], "mamba_ssm-2.3.1.tar.gz"), "w:gz") as tar:
                entry = tarfile.TarInfo("mamba_ssm-2.3.1/setup.py")
                entry.size = len(SETUP)
                tar.addfile(entry, io.BytesIO(SETUP.encode()))
        elif command[-1].endswith("mamba_ssm-2.3.1"):
            calls.append((Path(command[-1], "setup.py").read_text().splitlines(), {}))

    monkeypatch.setattr(install_mamba_ssm, "_call", call)
    return calls


def test_the_steps_of_an_installation(
    monkeypatch: pytest.MonkeyPatch, pip: list[tuple[list[str], dict[str, str]]]
) -> None:
    """What is needed, the source without building it, then the patched source without isolation, and compiled."""
    monkeypatch.setattr(install_mamba_ssm, "capability", lambda: (7, 5))
    assert install_mamba_ssm.main([]) == 0
    (first, _), (second, look), (third, build), (setup, _) = pip
    assert "einops==0.8.2" in first
    assert not any("mamba" in word for word in first)
    assert second[-1].startswith("mamba-ssm==2.")
    assert look["MAMBA_SKIP_CUDA_BUILD"] == "TRUE"
    assert {"--no-build-isolation", "--no-deps"} <= {*second} & {*third}
    assert build["MAMBA_SKIP_CUDA_BUILD"] == "FALSE", "set outside, it would leave the compiled part out"
    assert any("sm_75" in line for line in setup)


def test_the_steps_of_an_installation_without_a_gpu(
    tmp_path: Path, pip: list[tuple[list[str], dict[str, str]]]
) -> None:
    """Everything goes to the folder, nothing is compiled, and nothing brings another torch."""
    assert install_mamba_ssm.main(["--beside", str(tmp_path)]) == 0
    (first, _), (_, look), (third, build), (setup, _) = pip
    assert first[-1].endswith("requirements-kernels.txt")
    for command in (first, third):
        assert command[command.index("--target") + 1] == str(tmp_path)
        assert "--no-deps" in command
    assert look["MAMBA_SKIP_CUDA_BUILD"] == build["MAMBA_SKIP_CUDA_BUILD"] == "TRUE"
    assert setup == SETUP.splitlines() == (tmp_path / "setup.py").read_text().splitlines()


def test_a_step_that_fails_is_named() -> None:
    python = importlib.import_module("sys").executable
    with pytest.raises(LookaheadError, match=r"this failed, and its output above says why: .*exit"):
        install_mamba_ssm._call([python, "-c", "exit(3)"], {})
