"""How fast a training step is on a GPU, and how fast it could be: python benchmarks/bench_step.py results/gpu-step.json

For the mini Transformer on G(2,5) and G(10,5), data included, in bfloat16: samples a second of the plain loop and of
the captured step, side by side; as a share of the matrix rate that the card shows in the same run; and beside the roof
that the card's bandwidth sets, with operations and bytes counted. `--quick` runs it small, on a CPU too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lookahead.machine import device_name
from lookahead.runs.run import Run
from lookahead.tables import columns
from lookahead.tasks import PathStar
from lookahead.training.step import Engine, Step

GRAPHS = ((2, 5, 50), (10, 5, 50))
BATCHES = (64, 256, 1024, 4096)


class Traffic(TorchDispatchMode):
    """Bytes that the operations read and write if each goes to memory and back: the most that fusing could save on."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outcome = function(*args, **(kwargs or {}))
        if not function.is_view:
            tensors = [x for x in tree_leaves((args, kwargs, outcome)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return outcome


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device, least: float) -> float:
    """Of one call: the median of five stretches of at least `least` seconds in all."""
    for _ in range(5):  # what is compiled, captured and chosen is so by then
        work()
    wait(device)
    begun, calls = time.perf_counter(), 0
    while calls < 3:
        work()
        calls += 1
    wait(device)
    count = max(1, round(least / 5 / ((time.perf_counter() - begun) / calls)))
    stretches = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(count):
            work()
        wait(device)
        stretches.append((time.perf_counter() - begun) / count)
    return statistics.median(stretches)


def matrix_rate(device: torch.device, size: int, least: float) -> float:
    """Operations a second of one large product in bfloat16, on random data."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, least)


def bandwidth(device: torch.device, size: int, least: float) -> float:
    """Bytes a second of a copy, read and written."""
    a = torch.randn(size, device=device)
    b = torch.empty_like(a)
    return 2 * a.nbytes / seconds(lambda: b.copy_(a), device, least)


def make(graph: tuple[int, int, int], batch: int, model: str, engine: Engine, device: torch.device) -> Step:
    run = Run(
        task=PathStar(*graph), model=model, batch_size=batch, precision="bfloat16", learning_rate=5e-4, steps=10_000
    )
    task, objective = run.build()
    return Step(objective.to(device), task, run, 0, engine)


def counted(graph: tuple[int, int, int], batch: int, model: str, device: torch.device) -> tuple[int, int]:
    """Operations of the matrix products of one step, and bytes of all of it, unfused."""
    step = make(graph, batch, model, "eager", device)
    step(0)
    with FlopCounterMode(display=False) as operations:
        step(1)
    with Traffic() as traffic:
        step(2)
    return operations.get_total_flops(), traffic.bytes


def measure(quick: bool) -> dict[str, Any]:
    """All of it, as plain data."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, least = ("tiny", 0.05) if quick else ("mini", 2.0)
    engines: tuple[Engine, ...] = ("eager", "captured") if device.type == "cuda" else ("eager",)
    rate = matrix_rate(device, 512 if quick else 8192, least)
    width = bandwidth(device, 2**20 if quick else 2**28, least)
    told: dict[str, Any] = {"device": device_name(device), "torch": torch.__version__, "model": model}
    told |= {"matrix_rate": rate, "bandwidth": width, "steps": []}
    for graph in GRAPHS[:1] if quick else GRAPHS:
        for batch in (8,) if quick else BATCHES:
            operations, traffic = counted(graph, batch, model, device)
            roof = min(rate, operations / traffic * width)
            for engine in engines:
                try:
                    step = make(graph, batch, model, engine, device)
                    number = iter(range(10**9))
                    took = seconds(lambda step=step, number=number: step(next(number)), device, least)
                except torch.OutOfMemoryError:
                    continue
                row = {"graph": f"G({graph[0]},{graph[1]})", "batch": batch, "engine": engine, "seconds": took}
                row |= {"samples_a_second": batch / took, "operations": operations, "bytes_unfused": traffic}
                row |= {
                    "share_of_matrix_rate": operations / took / rate,
                    "share_of_unfused_roof": operations / took / roof,
                }
                told["steps"].append(row)
                print(table(told), flush=True)
                del step
                if device.type == "cuda":
                    torch.cuda.empty_cache()
    return told


def table(told: dict[str, Any]) -> str:
    """The measurements in columns."""
    head = ["graph", "batch", "engine", "ms a step", "samples a second", "% of matrix rate", "% of unfused roof"]
    rows = [
        [
            row["graph"],
            str(row["batch"]),
            row["engine"],
            f"{1e3 * row['seconds']:.2f}",
            f"{row['samples_a_second']:.0f}",
            f"{100 * row['share_of_matrix_rate']:.1f}",
            f"{100 * row['share_of_unfused_roof']:.0f}",
        ]
        for row in told["steps"]
    ]
    rates = f"{told['matrix_rate'] / 1e12:.2f} TFLOP/s in bfloat16, {told['bandwidth'] / 1e9:.0f} GB/s"
    return f"{told['device']}, torch {told['torch']}: {rates}\n{columns(head, rows)}"


def command(measure: Callable[[bool], dict[str, Any]], text: str | None) -> None:
    """Measures, and writes what was found to the file that is named."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="where to write it")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    options = parser.parse_args()
    told = measure(options.quick)
    if options.file is not None:
        options.file.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    command(measure, __doc__)
