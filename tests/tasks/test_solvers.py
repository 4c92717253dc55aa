"""The hand-written rules: two are always right, the cheat is right by chance."""

import pytest
import torch

from lookahead import PathStar, proportion
from lookahead.tasks.path_star.solvers import cheat, from_goal, try_arms

SIZES = [(2, 3), (2, 8), (2, 20), (3, 5), (5, 5), (10, 4), (20, 5)]


def examples(degree: int, path_length: int, count: int = 400):
    needed = PathStar.labels_needed(degree, path_length)
    task = PathStar(degree, path_length, max(50, needed), seed=1)
    prompts, answers = task.sample("test", torch.arange(count))
    return task, prompts, answers


@pytest.mark.parametrize(("degree", "path_length"), SIZES)
@pytest.mark.parametrize("solve", [try_arms, from_goal])
def test_always_right(solve, degree, path_length):
    task, prompts, answers = examples(degree, path_length)
    given = [solve(task, prompt).path for prompt in prompts.tolist()]
    assert given == answers.tolist()
    assert task.correct(prompts, answers, torch.tensor(given)).all()


@pytest.mark.parametrize(("degree", "path_length"), SIZES)
def test_the_cheat_gives_a_whole_arm_and_the_right_one_by_chance(degree, path_length):
    task, prompts, answers = examples(degree, path_length)
    given = torch.tensor([cheat(task, prompt).path for prompt in prompts.tolist()])
    assert (given[:, 0] == answers[:, 0]).all()
    is_arm = (given[:, None, 1:] == task.arms(prompts)).all(dim=2)
    assert (is_arm.sum(dim=1) == 1).all()
    right = task.correct(prompts, answers, given)
    assert (right == is_arm[:, 0]).all()
    assert 1 / degree in proportion(right.float().mean().item(), len(right), z=4)


@pytest.mark.parametrize(("degree", "path_length"), SIZES)
def test_lookups(degree, path_length):
    task, prompts, _ = examples(degree, path_length, 2000)
    arm = path_length - 1
    rows = prompts.tolist()
    assert {from_goal(task, row).lookups for row in rows} == {arm}
    assert {cheat(task, row).lookups for row in rows} == {arm}
    tried = torch.tensor([try_arms(task, row).lookups for row in rows])
    assert (tried % arm == 0).all()
    arms = tried // arm
    assert arms.min() == 1
    assert arms.max() == degree
    # The goal's arm stands anywhere among d: mean (d + 1) / 2, variance (d^2 - 1) / 12.
    spread = ((degree**2 - 1) / 12 / len(rows)) ** 0.5
    assert abs(arms.float().mean().item() - (degree + 1) / 2) < 4 * spread


def test_a_prompt_written_by_hand():
    line = "7,2|4,7|4,9|9,1/4,2=4,7,2"
    task, prompts, _ = PathStar.parse([line], num_nodes=20)
    (prompt,) = prompts.tolist()
    assert try_arms(task, prompt).path == [4, 7, 2]
    assert from_goal(task, prompt).path == [4, 7, 2]
    assert cheat(task, prompt).path == [4, 7, 2]
    prompt[-2] = 1  # the same graph, the other goal
    assert try_arms(task, prompt).path == [4, 9, 1]
    assert try_arms(task, prompt).lookups == 4
    assert from_goal(task, prompt).path == [4, 9, 1]
    assert from_goal(task, prompt).lookups == 2
    assert cheat(task, prompt).path == [4, 7, 2]
    assert cheat(task, prompt).lookups == 2


def test_a_goal_at_no_end_is_refused():
    task, prompts, answers = examples(2, 5, 1)
    (prompt,) = prompts.tolist()
    prompt[-2] = int(answers[0, 2])
    with pytest.raises(ValueError, match="no arm"):
        try_arms(task, prompt)
