"""What the tool says of the published test files, on files small enough to count by hand."""

import itertools
from pathlib import Path

import pytest
import torch

import judge_published_files as tool
from lookahead.errors import LookaheadError
from lookahead.tasks import PathStar
from lookahead.tasks.path_star import count_graphs, share_drawn

SIZE = {"degree": 3, "path_length": 2, "num_nodes": 5}


def test_all_graphs_are_counted() -> None:
    """Every choice of labels, as edges in whatever order and a goal."""
    asked = {
        (frozenset((start, end) for end in ends), goal)
        for start, *ends in itertools.permutations(range(5), 4)
        for goal in ends
    }
    assert count_graphs(**SIZE) == len(asked)
    longer = {(frozenset([(a, b), (b, c), (a, d), (d, e)]), c) for a, b, c, d, e in itertools.permutations(range(6), 5)}
    assert count_graphs(2, 3, 6) == len(longer)


def test_the_share_that_was_seen_is_that_of_drawing() -> None:
    chance = torch.Generator().manual_seed(0)
    drawn = torch.randint(300, (400, 200), generator=chance)
    seen = sum(len(set(row.tolist())) for row in drawn) / 400 / 300
    assert share_drawn(300, 200) == pytest.approx(seen, abs=0.005)


def test_lines_and_graphs_that_come_again_are_counted(tmp_path: Path) -> None:
    """The same edges in another order are the same graph; with the other goal they are another."""
    lines = ["0,1|1,2|0,3|3,4/0,2=0,1,2", "0,3|1,2|0,1|3,4/0,2=0,1,2", "0,1|1,2|0,3|3,4/0,4=0,3,4"]
    path = tmp_path / "deg_2_path_3_nodes_10_test_4.txt"
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    (tmp_path / "deg_2_path_3_nodes_10_train_4.txt").write_text("not looked at\n")
    (found,) = tool.report(tmp_path)["files"]
    counted = {name: found[name] for name in ("lines", "different_lines", "different_graphs", "graphs_there_are")}
    assert counted == {"lines": 4, "different_lines": 3, "different_graphs": 2, "graphs_there_are": 30_240}
    assert (found["degree"], found["path_length"], found["num_nodes"]) == (2, 3, 10)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Our own files in the published format, under the published name."""
    task = PathStar(2, 4, 20)
    path = tmp_path / "deg_2_path_4_nodes_20_test_50.txt"
    task.write(path, *task.sample("test", torch.arange(50)))
    (found,) = tool.report(tmp_path)["files"]
    assert found["different_graphs"] == 50
    assert found["seen_in_training"] < 0.001


def test_a_folder_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LookaheadError, match="holds no published test file, such as deg_2"):
        tool.report(tmp_path)
