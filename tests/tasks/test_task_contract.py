"""What `Task` promises, for every registered task, at each of its presets."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lookahead.contracts import SPLITS, Task
from lookahead.errors import LookaheadError
from lookahead.tasks import OwnData, PathStarFile
from registered import TASKS, of_the_library

each_task = pytest.mark.parametrize("preset", TASKS)


def build(preset: str, seed: int = 0) -> Task:
    kind, options = TASKS[preset]
    return kind(**options, seed=seed)


def test_every_task_has_a_preset() -> None:
    assert {kind for kind, _ in TASKS.values()} == set(of_the_library(Task).values())


@each_task
@pytest.mark.parametrize("split", SPLITS)
def test_examples_have_the_sizes_that_the_task_states(preset: str, split: str) -> None:
    task = build(preset)
    prompts, answers = task.sample(split, torch.arange(64))  # type: ignore[arg-type]
    assert prompts.shape == (64, task.prompt_length)
    assert answers.shape == (64, task.answer_length)
    for tokens in (prompts, answers):
        assert tokens.min() >= 0
        assert tokens.max() < task.vocab_size
    assert answers.max() < task.labels <= task.vocab_size
    if task.decision_known:
        decisions = task.decisions(prompts, answers)
        assert decisions.shape == (64,)
        assert decisions.max() <= task.decision < task.answer_length
    else:
        with pytest.raises(LookaheadError, match="decision"):
            _ = task.decision
    assert 0 < task.chance_accuracy < 1
    assert task.title
    assert len(task.text(prompts)) == 64
    task.check_examples(prompts, answers)
    mask = task.taught(answers)
    assert task.one_length == (mask is None)
    assert mask is None or mask[:, 0].all()


@each_task
def test_an_example_is_a_function_of_seed_split_and_index(preset: str) -> None:
    task, indices = build(preset), torch.tensor([5, 700, 5])
    prompts, answers = task.sample("train", indices)
    assert torch.equal(prompts[0], prompts[2])
    alone = task.sample("train", indices[1:2])
    assert torch.equal(alone[0][0], prompts[1])
    assert torch.equal(alone[1][0], answers[1])
    assert not torch.equal(build(preset, seed=1).sample("train", indices)[0], prompts)
    both = type(task).sample_each([task, build(preset, seed=1)], "train", indices[None])
    assert torch.equal(both[0][0], prompts)
    assert torch.equal(both[1][1], build(preset, seed=1).sample("train", indices)[1])


class NothingElse(TorchDispatchMode):
    """Refuses whatever reads or makes a tensor on another device than the examples' own."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        assert {one.device.type for one in tree_leaves((args, kwargs, found)) if isinstance(one, Tensor)} <= {"meta"}
        return found


@each_task
def test_examples_are_drawn_where_their_indices_lie(preset: str) -> None:
    """Once what never changes is there, nothing is copied, and no value is asked for: a CUDA graph can hold it."""
    task, indices = build(preset), torch.arange(8, device="meta")
    if isinstance(task, OwnData | PathStarFile):
        return  # a file's rows lie on the CPU
    sizes = [tensor.shape for tensor in task.sample("train", indices)]
    with NothingElse():
        assert [tensor.shape for tensor in task.sample("train", indices)] == sizes


@each_task
def test_splits_share_no_prompt(preset: str) -> None:
    drawn = [{tuple(row) for row in build(preset).sample(split, torch.arange(2000))[0].tolist()} for split in SPLITS]
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]
    assert not drawn[1] & drawn[2]


@each_task
def test_right_answers_are_right_and_decoys_are_not(preset: str) -> None:
    """A decoy is right up to the decision, and wrong there."""
    task = build(preset)
    prompts, answers = task.sample("validation", torch.arange(64))
    decoys = task.decoys(prompts, answers)
    assert task.correct(prompts, answers, answers).all()
    assert not task.correct(prompts, answers, (answers + 1) % task.labels).any()
    if decoys is None:
        return
    assert not task.correct(prompts, answers, decoys).any()
    for row, decision in enumerate(task.decisions(prompts, answers).tolist()):
        assert torch.equal(decoys[row, :decision], answers[row, :decision])
        assert decoys[row, decision] != answers[row, decision]


@each_task
def test_no_more_different_prompts_are_drawn_than_the_task_says_there_are(preset: str) -> None:
    """In 4096 test prompts as many repeats as chance gives, or fewer where one example has several prompts."""
    task = build(preset)
    prompts, _ = task.sample("test", torch.arange(4096))
    assert task.test_size >= 1
    assert 4096 - len(prompts.unique(dim=0)) <= 10 + 4096**2 / task.test_size
