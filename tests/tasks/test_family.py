"""The tasks beside path-star: what every example is, the readable sampler, the rule that is right, the cheat."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from lookahead import proportion
from lookahead.contracts import SPLITS, Split, Task
from lookahead.errors import LookaheadError
from registered import TASKS

FAMILY = {
    preset: (kind, options)
    for preset, (kind, options) in TASKS.items()
    if kind.name not in ("path_star", "path_star_file", "mixed_lengths_file", "own_data", "written_star")
}
"""Each in a file of its own, with `sample_one`, `solve` and `cheat` beside it."""

each_task = pytest.mark.parametrize("preset", FAMILY)
ODD_INDICES = torch.tensor([0, 1, 2, 99, 2**31 + 5, 2**32 - 1, 31])


def built(preset: str, **more: Any) -> tuple[Task, ModuleType]:
    """A task at a preset, and the file that it is in."""
    kind, options = FAMILY[preset]
    module = sys.modules[kind.__module__]
    return kind(**options, **more), module if hasattr(module, "cheat") else sys.modules["lookahead.tasks.digits"]


def answered(rule: Callable[[Task, list[int]], list[int]], task: Task, prompts: torch.Tensor) -> torch.Tensor:
    return torch.tensor([rule(task, prompt) for prompt in prompts.tolist()])


@each_task
@pytest.mark.parametrize("split", SPLITS)
def test_the_readable_sampler_gives_the_same_examples(preset: str, split: Split) -> None:
    task, module = built(preset, seed=3)
    indices = torch.cat([torch.arange(20), ODD_INDICES])
    prompts, answers = (tensor.tolist() for tensor in task.sample(split, indices))
    found = [module.sample_one(task, split, index) for index in indices.tolist()]
    assert found == list(zip(prompts, answers, strict=True))


PINNED = {
    "addition(4)": ["1802+5617=07419", "8396+6701=15097"],
    "addition(4), reversed": ["1802+5617=91470", "8396+6701=79051"],
    "countdown(3,30)": ["11,25,15>29=25-11,14,15+14,29", "21,1,9>13=21+1,22,22-9,13"],
    "drills for G(2,4)": ["1,7|4,8|9,4|3,2|6,5|8,1/3,1=1,3,4,6", "2,5|0,0|4,2|7,3|1,8|6,4/1,4=4,6,4,6"],
    "in-weights G(100,4)": ["path 15=292,145,234,15", "path 175=292,36,228,175"],
    "G(2,3-5)": ["......5,0|8,6|11,9|9,8|11,3|3,5/11,6=11,9,8,6.", "............2,1|5,0|8,2|8,5/8,1=8,2,1.."],
    "mate in 2": [
        "4K3/8/2Q5/3r4/8/8/R2n4/7k w - - =a2d2 h1g1 c6c1",
        "7k/5K2/6R1/8/4p3/2R2r2/8/8 w - - =c3f3 h8h7 f3h3",
    ],
    "multiplication(2,2)": ["82*78=6396", "75*63=4725"],
    "multiplication(2,2), reversed": ["82*78=6936", "75*63=5274"],
    "siblings(10,21)": ["kbxvtw=c113,c116,p5", "xwetot=c128,c146,p6"],
    "sudoku(8)": [".1.2..131....321=34242344", "3.242.1...4.4..1=14313223"],
    "tree(2,4)": [
        "4,2|15,10|5,17|18,5|5,6|19,18|19,8|8,4|18,15|8,14|14,16|15,9|4,11|14,1/19,6=19,18,5,6",
        "16,8|8,1|14,4|15,19|14,15|7,12|7,11|16,7|8,9|18,14|15,0|4,5|4,3|18,16/18,19=18,14,15,19",
    ],
    "undirected G(2,5)": [
        "15,46|45,46|7,5|44,10|35,10|15,5|45,44|16,7/46,35=46,45,44,10,35",
        "45,17|35,38|39,21|44,39|4,40|35,21|4,17|40,38/38,44=38,35,21,39,44",
    ],
}
"""Example 7 of seed 1, in training and in test: results are kept of networks that were trained on such."""


@each_task
def test_examples_are_pinned(preset: str) -> None:
    task, _ = built(preset, seed=1)
    drawn = [torch.cat(task.sample(split, torch.tensor([7])), dim=1) for split in ("train", "test")]
    assert task.text(torch.cat(drawn)) == PINNED[preset]


@each_task
def test_a_rule_solves_every_example(preset: str) -> None:
    task, module = built(preset)
    for split in SPLITS:
        prompts, answers = task.sample(split, torch.arange(200))
        assert task.correct(prompts, answers, answered(module.solve, task, prompts)).all()


@each_task
def test_the_cheat_is_right_as_often_as_the_task_says(preset: str) -> None:
    """Within four standard errors of as many different examples as there are."""
    task, module = built(preset)
    indices = torch.arange(4000 if task.chance_accuracy < 0.02 else 2000)
    prompts, answers = task.sample("train", indices)
    if preset.startswith("in-weights"):  # in training half of the examples are edges, which nobody has to choose for
        prompts, answers = (part[task.taught(answers).all(dim=1)] for part in (prompts, answers))  # type: ignore[union-attr]
    right = task.correct(prompts, answers, answered(module.cheat, task, prompts)).float().mean().item()
    assert task.chance_accuracy in proportion(right, len(prompts), z=4)


@each_task
@pytest.mark.parametrize("wrong", ["prompts", "answers"])
def test_what_is_no_example_is_refused(preset: str, wrong: str) -> None:
    task, _ = built(preset)
    prompts, answers = task.sample("test", torch.arange(4))
    task.check_examples(prompts, answers)
    tokens = {"prompts": prompts, "answers": answers}
    mark = task.last_prompt_token
    for place in range(tokens[wrong].shape[1]):
        changed = {name: one.clone() for name, one in tokens.items()}
        changed[wrong][2, place] = 0 if changed[wrong][2, place] == mark else mark
        with pytest.raises(LookaheadError, match="row 2 is no example"):
            task.check_examples(**changed)


@each_task
def test_examples_are_of_every_kind(preset: str) -> None:
    """All answer ids come up, at the decision too where several answers can be told apart."""
    task, _ = built(preset)
    _, answers = task.sample("train", torch.arange(4000))
    assert len(answers.unique()) >= 0.9 * task.labels


@each_task
def test_text_can_be_told_apart(preset: str) -> None:
    task, _ = built(preset)
    prompts, answers = task.sample("test", torch.arange(50))
    lines = task.text(torch.cat([prompts, answers], dim=1))
    assert len(set(lines)) == len(torch.cat([prompts, answers], dim=1).unique(dim=0))
    with pytest.raises(LookaheadError, match="ids from"):
        task.text(torch.full((1, 2), task.vocab_size + 4))
