"""How fast the library is, beside the same work in other well-known code. `make bench` runs this file.

Processor time of one thread, with the pins of the chapters: what else the machine does changes it little. One call
after the other in one process, so their ratios are what counts. Run as a script it shortens pytest-benchmark's
report to the file that the book reads:

    python benchmarks/bench_speed.py REPORT results/speed.json
"""

import os

from lookahead.machine import PINS

os.environ.update(PINS, TOKENIZERS_PARALLELISM="false")  # before torch is loaded

import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mambapy.mamba
import pytest
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2LMHeadModel, Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM
from transformers.utils import logging

from gpt2_twin import gpt2_twin
from lookahead.contracts import Model, Objective, Task
from lookahead.evaluation import evaluate
from lookahead.files import write_text
from lookahead.machine import commit, processor
from lookahead.models import Mamba, Mamba2, Transformer
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from lookahead.training.optimizers import Optimizers, grouped

logging.set_verbosity_error()

OURS, THEIRS, DEFAULTS = "lookahead", "GPT-2 in transformers", "GPT-2 in transformers, its defaults"
GRAPHS = {"tiny": (2, 4, 10), "mini": (2, 5, 50)}
"""Degree, path length, labels: what the chapters train on, and the paper's."""
BATCH = {"tiny": 128, "mini": 16}
ROUNDS = {"tiny": 20, "mini": 6}


def optimizers_of(objective: Any, run: Run) -> Optimizers:
    """The optimisers of an objective, as a step builds them."""
    return Optimizers(dict(objective.named_parameters()), grouped(objective, run.optimizer), run)


def run_of(model: str, **fields: Any) -> Run:
    """A run with teacher forcing and AdamW."""
    degree, length, labels = GRAPHS[model]
    return Run(task=PathStar(degree, length, labels), model=model, batch_size=BATCH[model], **fields)


def examples(task: Task, count: int) -> tuple[Tensor, Tensor]:
    return task.sample("train", torch.arange(count))


def measure(benchmark: Any, work: Callable[[], object], who: str, size: str, rounds: int, **told: Any) -> None:
    """Times one piece of work; `told` goes into the report."""
    benchmark.extra_info.update(work=benchmark.group, who=who, size=size, **told)
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=2, iterations=1)


# -- a training step -----------------------------------------------------------------------------------------


def our_step(objective: Objective, task: Task, run: Run) -> Callable[[], object]:
    optimizers, trained = optimizers_of(objective, run), list(objective.parameters())
    prompts, answers = examples(task, run.batch_size)

    def step() -> None:
        objective(prompts, answers).total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizers.step()

    return step


def their_step(twin: GPT2LMHeadModel, task: Task, run: Run, defaults: bool) -> Callable[[], object]:
    """The same step; with its defaults: dropout, all logits, the loss inside, AdamW as it comes."""
    trained = list(twin.parameters())
    optimizer = torch.optim.AdamW(trained, lr=run.learning_rate, **({} if defaults else {"fused": True}))
    prompts, answers = examples(task, run.batch_size)
    tokens = torch.cat([prompts, answers], dim=1)
    unmasked = torch.full_like(prompts, -100)
    labels = torch.cat([unmasked, answers], dim=1)
    kept = answers.shape[1]

    def step() -> None:
        if defaults:
            loss = twin(tokens, labels=labels).loss
        else:
            logits = twin(tokens[:, :-1], logits_to_keep=kept, use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


@pytest.mark.parametrize("who", [OURS, THEIRS, DEFAULTS])
@pytest.mark.parametrize("size", ["tiny", "mini"])
@pytest.mark.benchmark(group="training step")
def test_step(benchmark: Any, size: str, who: str) -> None:
    run = run_of(size)
    task, objective = run.build()
    if who == OURS:
        step = our_step(objective, task, run)
    else:
        dropout = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
        longer = {"n_positions": objective.model.longest + 1}  # the loss inside reads the last token, too
        changes = {**dropout, **longer} if who == DEFAULTS else {}
        step = their_step(gpt2_twin(objective.model, **changes).train(), task, run, who == DEFAULTS)
    measure(benchmark, step, who, size, ROUNDS[size], batch=run.batch_size)


# -- recurrent models ----------------------------------------------------------------------------------------

WIDTH, LAYERS, VOCAB, EXAMPLES, LENGTH = 128, 4, 32, 16, 64


class MambaPy(nn.Module):
    """mambapy's parallel scan, with an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.trunk = mambapy.mamba.Mamba(mambapy.mamba.MambaConfig(d_model=WIDTH, n_layers=LAYERS, pscan=True))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.trunk(self.embedding(tokens)))


def recurrent_model(name: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A model, and its logits [B, T, V] of tokens [B, T]."""
    sizes = {"vocab_size": VOCAB, "longest": LENGTH, "layers": LAYERS, "width": WIDTH}
    ours: dict[str, Callable[[], Model]] = {
        "Transformer": lambda: Transformer(**sizes, heads=4),
        "Mamba": lambda: Mamba(**sizes),
        "Mamba-2": lambda: Mamba2(**sizes),
    }
    if name in ours:
        model = ours[name]()
        return model, lambda tokens: model.unembed(model(tokens))
    if name == "Mamba in mambapy":
        return (model := MambaPy()), model
    common = {"vocab_size": VOCAB, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "use_cache": False}
    theirs = (
        MambaForCausalLM(MambaConfig(**common))
        if name == "Mamba in transformers"
        else Mamba2ForCausalLM(Mamba2Config(**common, head_dim=64, num_heads=4, n_groups=1, chunk_size=64))
    )
    return theirs, lambda tokens: theirs(tokens).logits


@pytest.mark.parametrize(
    "who", ["Transformer", "Mamba", "Mamba-2", "Mamba in transformers", "Mamba-2 in transformers", "Mamba in mambapy"]
)
@pytest.mark.benchmark(group="recurrent training step")
def test_recurrent(benchmark: Any, who: str) -> None:
    """One step: forward, cross entropy at every position, backward, AdamW. Denormal numbers are flushed to zero:
    mambapy's scan is full of them, and takes several times as long where they are not."""
    torch.manual_seed(0)
    model, logits = recurrent_model(who)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(VOCAB, (EXAMPLES, LENGTH + 1))

    def step() -> None:
        F.cross_entropy(logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    torch.set_flush_denormal(True)
    try:
        measure(benchmark, step, who, "width 128, 4 layers, 64 tokens", 6, batch=EXAMPLES)
    finally:
        torch.set_flush_denormal(False)


# -- generation and evaluation -------------------------------------------------------------------------------


def written_by_twin(twin: GPT2LMHeadModel, prompts: Tensor, count: int) -> Tensor:
    """Greedy tokens after the prompts."""
    every = torch.ones_like(prompts)
    written = twin.generate(prompts, attention_mask=every, max_new_tokens=count, do_sample=False, use_cache=True)
    return written[:, prompts.shape[1] :]


@pytest.mark.parametrize("who", [OURS, THEIRS])
@pytest.mark.parametrize(
    ("size", "batch"), [("tiny", 1), ("tiny", 8), ("tiny", 256), ("mini", 1), ("mini", 8), ("mini", 64)]
)
@pytest.mark.benchmark(group="generation")
def test_generation(benchmark: Any, size: str, batch: int, who: str) -> None:
    task, objective = run_of(size).build()
    prompts, answers = examples(task, batch)
    twin, count = gpt2_twin(objective.model).eval(), answers.shape[1]

    def ours() -> Tensor:
        return objective.answer(prompts)

    @torch.no_grad()
    def theirs() -> Tensor:
        return written_by_twin(twin, prompts, count)

    assert torch.equal(ours(), theirs())
    rounds = {1: 60, 8: 40, 64: 5, 256: 20}[batch]
    measure(benchmark, ours if who == OURS else theirs, who, size, rounds, batch=batch)


@torch.no_grad()
def their_evaluation(twin: GPT2LMHeadModel, task: Task, count: int, batch_size: int = 512) -> dict[str, float]:
    """What `evaluate` measures, by the twin."""
    right: dict[str, float] = {"autoregressive_accuracy": 0, "teacher_forced_accuracy": 0, "cheat_accuracy": 0}
    for first in range(0, count, batch_size):
        prompts, answers = task.sample("validation", torch.arange(first, min(first + batch_size, count)))
        tokens = torch.cat([prompts, answers[:, :-1]], dim=1)
        taught = twin(tokens, logits_to_keep=answers.shape[1], use_cache=False).logits.argmax(dim=-1)
        given = written_by_twin(twin, prompts, answers.shape[1])
        decoys = task.decoys(prompts, answers)
        forced = decoys[:, : task.decision + 1]
        led = written_by_twin(twin, torch.cat([prompts, forced], dim=1), answers.shape[1] - forced.shape[1])
        right["autoregressive_accuracy"] += task.correct(prompts, answers, given).sum().item()
        right["teacher_forced_accuracy"] += task.correct(prompts, answers, taught).sum().item()
        right["cheat_accuracy"] += (led == decoys[:, forced.shape[1] :]).all(dim=1).sum().item()
    return {name: value / count for name, value in right.items()}


@pytest.mark.parametrize("who", [OURS, THEIRS])
@pytest.mark.parametrize(("size", "count"), [("tiny", 512), ("mini", 64)])
@pytest.mark.benchmark(group="evaluation")
def test_evaluation(benchmark: Any, size: str, count: int, who: str) -> None:
    task, objective = run_of(size).build()
    twin = gpt2_twin(objective.model).eval()

    def ours() -> dict[str, Any]:
        with torch.no_grad():
            return evaluate(objective, task, "validation", count)

    def theirs() -> dict[str, float]:
        return their_evaluation(twin, task, count)

    measured = ours()
    assert {name: measured[name] for name in theirs()} == pytest.approx(theirs())
    measure(benchmark, ours if who == OURS else theirs, who, size, 5 if size == "mini" else 20, batch=count)


# -- data ----------------------------------------------------------------------------------------------------


def one_at_a_time(task: PathStar, count: int, chance: random.Random) -> list[list[int]]:
    """Graphs drawn one by one in plain Python, as one would write it down."""
    rows = []
    for _ in range(count):
        nodes = chance.sample(range(task.num_nodes), task.degree * (task.path_length - 1) + 1)
        start, rest = nodes[0], nodes[1:]
        arms = [rest[i :: task.degree] for i in range(task.degree)]
        edges = [edge for arm in arms for edge in zip([start, *arm], arm, strict=False)]
        chance.shuffle(edges)
        path = [start, *chance.choice(arms)]
        rows.append([node for edge in edges for node in edge] + [start, path[-1], *path])
    return rows


@pytest.mark.parametrize("who", [OURS, "plain Python"])
@pytest.mark.parametrize("graph", [(2, 5, 50), (20, 5, 100)], ids=str)
@pytest.mark.benchmark(group="sampling")
def test_sampling(benchmark: Any, graph: tuple[int, int, int], who: str) -> None:
    task, count, chance = PathStar(*graph), 4096, random.Random(0)
    indices = torch.arange(count)
    work = (lambda: task.sample("train", indices)) if who == OURS else lambda: one_at_a_time(task, count, chance)
    measure(benchmark, work, who, "G({},{}), {} labels".format(*graph), 10, batch=count)


@pytest.mark.parametrize("who", [OURS, "tokenizers"])
@pytest.mark.parametrize("direction", ["text to tokens", "tokens to text"])
@pytest.mark.benchmark(group="tokenising")
def test_tokenising(benchmark: Any, direction: str, who: str) -> None:
    """The published text format. Reading, the library also checks that every line is a path-star graph."""
    task = PathStar(2, 5, 50)
    prompts, answers = examples(task, 4096)
    rows = torch.cat([prompts, answers], dim=1)
    lines = task.text(rows)
    vocabulary = {str(label): label for label in range(task.num_nodes)}
    marks = sorted(set("".join(lines)) - set("0123456789"))
    vocabulary |= {mark: task.num_nodes + i for i, mark in enumerate(marks)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=marks[0]))
    tokenizer.pre_tokenizer = Split(Regex(r"\d+|[^\d]"), "isolated")
    encoded = [found.ids for found in tokenizer.encode_batch(lines)]
    work = {
        ("text to tokens", OURS): lambda: PathStar.parse(lines, task.num_nodes),
        ("text to tokens", "tokenizers"): lambda: tokenizer.encode_batch(lines),
        ("tokens to text", OURS): lambda: task.text(rows),
        ("tokens to text", "tokenizers"): lambda: tokenizer.decode_batch(encoded),
    }
    measure(benchmark, work[direction, who], who, direction, 5, batch=len(lines))


# -- where the time of a training goes -----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("part", ["data", "forward", "forward and backward", "whole step", "evaluation"])
@pytest.mark.benchmark(group="parts of a training")
def test_parts(benchmark: Any, part: str, optimizer: str) -> None:
    """The tiny Transformer as the chapters train it."""
    run = run_of("tiny", optimizer=optimizer, learning_rate=1e-3)
    task, objective = run.build()
    optimizers, trained = optimizers_of(objective, run), list(objective.parameters())
    batch = examples(task, run.batch_size)

    def forward() -> Tensor:
        return objective(*batch).total

    def backward() -> None:
        forward().backward()
        objective.zero_grad(set_to_none=True)

    def whole() -> None:
        examples(task, run.batch_size)
        forward().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizers.step()

    @torch.no_grad()
    def evaluation() -> None:
        evaluate(objective, task, "validation", 512)

    data = lambda: examples(task, run.batch_size)  # noqa: E731
    work = {"data": data, "forward": forward, "forward and backward": backward, "whole step": whole}
    measure(benchmark, work.get(part, evaluation), optimizer, part, 20, batch=run.batch_size)


@pytest.mark.parametrize("batch", [32, 64, 128, 256])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.benchmark(group="step by batch size")
def test_batch_sizes(benchmark: Any, optimizer: str, batch: int) -> None:
    """What a step costs, to turn the steps of the batch-size experiment into time."""
    degree, length, labels = GRAPHS["tiny"]
    run = Run(task=PathStar(degree, length, labels), batch_size=batch, optimizer=optimizer)
    task, objective = run.build()
    measure(benchmark, our_step(objective, task, run), optimizer, "tiny", 15, batch=batch)


# -- the report ----------------------------------------------------------------------------------------------


def shortened(report: dict[str, Any]) -> dict[str, Any]:
    """What the book shows of pytest-benchmark's report: medians and quartiles in milliseconds, and the machine."""
    made_by, changed = commit()
    rows = []
    for one in report["benchmarks"]:
        times = sorted(1000 * t for t in one["stats"]["data"])
        low, middle, high = statistics.quantiles(times, n=4)
        rows.append({**one["extra_info"], "median_ms": middle, "low_ms": low, "high_ms": high, "rounds": len(times)})
    versions = {name: __import__(name).__version__ for name in ("torch", "transformers", "tokenizers")}
    return {
        "measured": report["datetime"][:10],
        "processor": processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "clock": "processor time",
        "python": report["machine_info"]["python_version"],
        **versions,
        "commit": made_by,
        "uncommitted_changes": changed,
        "rows": rows,
    }


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    write_text(target, json.dumps(shortened(json.loads(source.read_text())), indent=1) + "\n")
