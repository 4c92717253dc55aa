"""Files of prompts and answers, as somebody may have them."""

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lookahead.contracts import SPLITS
from lookahead.tasks import PathStar

TINY: dict[str, Any] = {
    "model": {"name": "transformer", "layers": 1, "width": 16, "heads": 2},
    "steps": 4,
    "batch_size": 8,
    "evaluate_every": 2,
    "warmup": 2,
}
"""Fields of a run that is over in a moment."""


def sums(count: int = 3000, digits: int = 4) -> list[dict[str, str]]:
    """Additions: prompts and answers of different length."""
    drawn = random.Random(0)
    pairs = [(drawn.randrange(10**digits), drawn.randrange(10**digits)) for _ in range(count)]
    return [{"question": f"{a}+{b}", "answer": str(a + b)} for a, b in pairs]


def copies(count: int = 600) -> list[dict[str, str]]:
    """Five letters to be said again: all of one length."""
    drawn = random.Random(1)
    words = ["".join(drawn.choices("abcdef", k=5)) for _ in range(count)]
    return [{"question": word, "answer": word} for word in words]


def write(path: Path, records: list[Any]) -> Path:
    """Writes records as JSON Lines."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


@cache
def graphs(count: int = 4000) -> str:
    """The path of a file of G(2,4) graphs in the published format, drawn from all splits."""
    path = Path(_folder().name) / "graphs.txt"
    task = PathStar(2, 4, 20)
    drawn = [
        task.sample(split, torch.arange(count * share // 10)) for split, share in zip(SPLITS, (8, 1, 1), strict=True)
    ]
    prompts, answers = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(0))
    task.write(path, prompts[order], answers[order])
    return str(path)


@cache
def mixed_graphs(count: int = 1500) -> str:
    """The path of a file of graphs from G(2,3) to G(2,5) in the published format, drawn from all splits."""
    lines = []
    for length in (3, 4, 5):
        task = PathStar(2, length, 20)
        for split, share in zip(SPLITS, (8, 1, 1), strict=True):
            lines += task.text(torch.cat(task.sample(split, torch.arange(count * share // 30)), dim=1))
    random.Random(0).shuffle(lines)
    return str(lying("mixed.txt", "\n".join(lines)))


def lying(name: str, text: str) -> Path:
    """A file that lies there for as long as the tests run."""
    path = Path(_folder().name) / name
    path.write_text(text, encoding="utf-8")
    return path


@cache
def stored(kind: str) -> str:
    """The path of a file of `sums` or `copies` that lies there for as long as the tests run."""
    folder = _folder()
    return str(write(Path(folder.name) / f"{kind}.jsonl", {"sums": sums, "copies": copies}[kind]()))


@cache
def _folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="lookahead-tests-")
