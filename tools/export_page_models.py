"""What plays in the page: networks of stored runs as safetensors, what the page must know of them, a still picture.

lookahead run in-the-page --profile census --weights
python tools/export_page_models.py book/static

The weights are rounded to 16 bits: half the bytes, and what is measured here is measured with the rounded ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save
from torch import Tensor

from lookahead import figures
from lookahead.contracts import Objective
from lookahead.evaluation.measures import evaluate
from lookahead.experiments import find_experiment, stored
from lookahead.figures.walks import draw_walk
from lookahead.files import replacing, write_text
from lookahead.objectives.reversed import Reversed
from lookahead.random import words
from lookahead.runs.result import trained
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from lookahead.tasks.path_star.text import ANSWER_MARK, EDGE_MARK, QUESTION_MARK
from lookahead.training.checkpoints import load_state, state_tensors

EXPERIMENT, PROFILE = "in-the-page", "census"
EXAMPLES = 1000
"""Graphs kept for testing, on which each network is measured."""
TITLES = {
    "teacher_forcing": "one token at a time",
    "reversed": "backwards",
    "multi_token": "four tokens at once",
    "latent_lookahead": "latent steps back",
}
COLORS = {**figures.MEANING, "latent_lookahead": figures.YELLOW}
"""Of the drawings, as in play.css."""
PICTURED = 3
"""The test graph of the still picture."""


def runs() -> list[Run]:
    """The runs whose networks are in the page."""
    return list(find_experiment(EXPERIMENT).runs(PROFILE))


def method_of(run: Run) -> str:
    """The name of what a run teaches by."""
    return run.objective["name"]  # type: ignore[index]


def measured(objective: Objective, task: PathStar) -> dict[str, float]:
    """Shares of whole paths and of first steps that are right."""
    found = evaluate(objective, task, "test", EXAMPLES)
    names = {"right": "autoregressive_accuracy", "first": "decision_accuracy"}
    return {short: round(found[name], 4) for short, name in names.items()}


def about(task: PathStar) -> dict[str, Any]:
    """What the page needs to ask as the task does, and to tell which graphs were kept for testing."""
    n = task.num_nodes
    return {
        "degree": task.degree,
        "path_length": task.path_length,
        "num_nodes": n,
        "symbols": [task.symbol(token) for token in range(task.vocab_size)],
        "marks": {"edge": n + EDGE_MARK, "question": n + QUESTION_MARK, "answer": n + ANSWER_MARK},
        "held": task.held_classes,
        "salts": words("path_star shape", count=task.path_length + 1),
    }


def export(folder: Path) -> dict[str, Any]:
    """Writes models/*.safetensors and models/index.json, and gives what stands in the latter.

    A file that is there and says that it is of a run is taken as it is: remove it to have it made anew.

    Raises:
        LookaheadError: weights of a run are not here; the message says how to make them.
    """
    graphs: dict[str, Any] = {}
    results = {result.run.id: result for result in stored(EXPERIMENT, PROFILE)}
    for run in runs():
        steps = results[run.id].manifest["steps"]  # it may have stopped early
        task, objective = run.build()
        assert isinstance(task, PathStar)
        what = about(task)
        sizes = f"{what['degree']}x{what['path_length']}"
        name = f"{sizes}-{method_of(run)}-{steps}.safetensors"
        path = folder / "models" / name
        about_it = {"run": run.id, "steps": str(steps)}
        if not is_of(path, about_it):
            rounded = {name: tensor.half() for name, tensor in state_tensors(trained(run)[1]).items()}
            with replacing(path) as temporary:
                temporary.write_bytes(save(rounded, about_it))
        data = path.read_bytes()
        load_state(objective, {name: tensor.float() for name, tensor in load(data).items()})
        known = {option: run.model[option] for option in ("heads", "layers")}  # type: ignore[index]
        graph = graphs.setdefault(sizes, {"task": what, **known, "models": {}})
        method = graph["models"].setdefault(method_of(run), {"method": method_of(run), "checkpoints": []})
        method["checkpoints"].append(
            {"steps": steps, "run": run.id, "file": name, "bytes": len(data), **measured(objective, task)}
        )
    index = {"graphs": [{**graph, "models": list(graph["models"].values())} for graph in graphs.values()]}
    write_text(folder / "models" / "index.json", json.dumps(index, indent=1) + "\n")
    return index


def is_of(path: Path, about_it: dict[str, str]) -> bool:
    """Whether a file is there and says that about itself."""
    if not path.exists():
        return False
    with safe_open(path, "pt") as file:
        return file.metadata() == about_it


def exported(folder: Path, checkpoint: dict[str, Any]) -> tuple[PathStar, Objective]:
    """Task and objective with the weights of one of the files, as the page reads them."""
    (run,) = (run for run in runs() if run.id == checkpoint["run"])
    task, objective = run.build()
    assert isinstance(task, PathStar)
    load_state(objective, {k: v.float() for k, v in load_file(folder / "models" / checkpoint["file"]).items()})
    return task, objective


@torch.no_grad()
def edge_shares(objective: Objective, task: PathStar, prompt: Tensor) -> list[list[float]]:
    """How likely a network that draws its tokens takes each edge of each arm, the goal's arm first, [d][l - 1].

    Args:
        objective: one that answers token by token, forwards or backwards, as it was taught to.
        prompt: tokens [P].
    """
    start = task.question(prompt[None])[0, :1]
    arms = task.arms(prompt[None])[0]  # [d, l - 1]
    paths = torch.cat([start.expand(len(arms), 1), arms], dim=1)
    said = objective(prompt.expand(len(arms), -1), paths).tokens.neg().exp()  # probabilities, [d, l]
    if isinstance(objective, Reversed):
        return said.flip(1).cumprod(dim=1)[:, 1:].flip(1).tolist()
    return said.cumprod(dim=1)[:, 1:].tolist()


def still(folder: Path) -> tuple[str, str]:
    """The picture that stands in the page without a script, as SVG: what the last networks answer to one graph.

    The second is for small screens.
    """
    models = json.loads((folder / "models" / "index.json").read_text(encoding="utf-8"))["graphs"][0]["models"]
    figures.use_style()
    fig, axes = figures.figure(3.6, rows=2, columns=2)
    for ax, model in zip(axes.flat, models, strict=True):
        task, objective = exported(folder, model["checkpoints"][-1])
        prompts, _ = task.sample("test", torch.tensor([PICTURED]))
        shares = edge_shares(objective, task, prompts[0])
        draw_walk(ax, task, prompts[0], shares, objective.answer(prompts)[0], COLORS[model["method"]])
        ax.set_title(TITLES[model["method"]])
    wide, narrow = figures.svg(fig), figures.narrow_svg(fig)
    assert narrow
    return wide, narrow


if __name__ == "__main__":
    target = Path(sys.argv[1])
    export(target)
    for file, drawn in zip((target / "play.svg", target / "narrow" / "play.svg"), still(target), strict=True):
        write_text(file, drawn)
