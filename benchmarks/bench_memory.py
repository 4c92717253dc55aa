"""What a training step of the recurrent models keeps, and needs at its peak: python benchmarks/bench_memory.py FILE

Counted, not sampled: the same on every machine with the same torch. `make bench` calls it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from bench_speed import EXAMPLES, LENGTH, VOCAB, recurrent_model
from lookahead.files import write_text

KINDS = ("Transformer", "Mamba", "Mamba-2", "Mamba in transformers", "Mamba-2 in transformers", "Mamba in mambapy")


def kept(work: Any) -> tuple[Tensor, int]:
    """What `work` gives, and the bytes that autograd keeps for its backward pass, every storage once."""
    storages: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = work()
    return loss, sum(storages.values())


def peak(work: Any) -> int:
    """The most bytes allocated at once in `work`, beyond those there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    now = most = 0
    events = (e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]")  # type: ignore[union-attr]
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def measure(kind: str) -> dict[str, Any]:
    """One model: bytes kept for the backward pass, weights apart, and at the peak of forward and backward."""
    torch.manual_seed(0)
    model, logits = recurrent_model(kind)
    tokens = torch.randint(VOCAB, (EXAMPLES, LENGTH + 1))

    def loss() -> Tensor:
        return F.cross_entropy(logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    found, held = kept(loss)
    found.backward()
    model.zero_grad(set_to_none=True)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    most = peak(lambda: loss().backward())
    return {
        "who": kind,
        "kept_mib": max(0, held - weights) / 2**20,
        "peak_mib": most / 2**20,
        "weights_mib": weights / 2**20,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = [measure(kind) for kind in KINDS]
    print(*rows, sep="\n")
    write_text(Path(sys.argv[1]), json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")
