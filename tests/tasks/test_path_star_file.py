"""Path-star graphs from a file: split as those that are drawn, trained on, and what is refused."""

from pathlib import Path

import pytest
import torch

import lookahead
from lookahead.contracts import SPLITS
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate_on
from lookahead.runs.run import Run
from lookahead.tasks import PathStar, PathStarFile
from own_file import TINY, graphs


def test_it_holds_the_graphs_of_the_file_each_in_the_split_of_its_kind() -> None:
    task, (whole, prompts, answers) = PathStarFile.of(graphs(), 20), PathStar.read(graphs(), 20)
    there = {tuple(row) for row in torch.cat([prompts, answers], dim=1).tolist()}
    drawn = 0
    for split in SPLITS:
        n = len(task.table.parts[split])
        found = task.sample(split, torch.arange(n))
        assert set(whole.split_of(found[0])) == {split}
        rows = {tuple(row) for row in torch.cat(found, dim=1).tolist()}
        assert rows <= there
        drawn += len(rows)
    assert drawn == len(there) == 4000
    assert task.facts.prompts == {"train": 3200, "validation": 400, "test": 400}
    assert task.test_size == 400
    assert torch.equal(task.decoys(prompts, answers), whole.decoys(prompts, answers))


def test_a_graph_in_another_order_of_its_edges_is_the_same(tmp_path: Path) -> None:
    lines = Path(graphs()).read_text().splitlines()
    edges, rest = lines[0].split("/")
    other = "|".join(reversed(edges.split("|"))) + "/" + rest
    (tmp_path / "again.txt").write_text("\n".join([*lines, other]))
    task = PathStarFile.of(tmp_path / "again.txt", 20)
    with pytest.warns(UserWarning, match="1 of 4001 examples repeat one before them"):
        assert task.facts.duplicates == 1


def test_a_run_is_trained_on_it_and_has_all_measures(store: Path) -> None:
    result = lookahead.run(task=PathStarFile.of(graphs(), 20), device="cpu", **TINY)
    assert result.run.config["task"]["checksum"]
    drawn = lookahead.run(task=PathStar(2, 4, 20), device="cpu", **TINY)
    assert result.measures.keys() == drawn.measures.keys()
    assert result.measures["loss"] != drawn.measures["loss"]
    task, objective = lookahead.trained(result.run)
    assert evaluate_on(objective, task, *task.read_examples(graphs()))["examples"] == 4000
    assert Run.from_json(result.run.to_json()).id == result.run.id


def test_editors_marks_and_a_guessed_number_of_labels(tmp_path: Path) -> None:
    lines = Path(graphs()).read_text().splitlines()
    other = tmp_path / "edited.txt"
    other.write_bytes(("\ufeff" + " \r\n".join(lines) + "\r\n\r\n").encode())
    with pytest.warns(UserWarning, match="num_nodes is not given and taken to be 20, one more than the largest label"):
        task = PathStarFile.of(other)
    known = PathStarFile.of(graphs(), 20)
    assert task.facts == known.facts
    indices = torch.arange(50)
    assert torch.equal(task.sample("test", indices)[0], known.sample("test", indices)[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2|1,3/1,2=1,2\n", "path_length must be at least 3, not 2: .* with 2 the answer stands in the prompt"),
        ("7,2|4,7|4,9|9,1/4,2=4,7,2\n1,2|1,3/1,2=1,2\n", r"line 2: a G\(2,2\), but the first line's is a G\(2,3\)"),
        ("7,2|4,7|4,9|9,1/4,2=4,7,2\n", "too small to hold anything out from"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_its_reason(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(text)
    with pytest.raises(LookaheadError, match=message):
        PathStarFile.of(path, 20).sample("train", torch.arange(1))


def test_another_file_or_other_graphs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "graphs.txt"
    path.write_bytes(Path(graphs()).read_bytes())
    config = Run(task=PathStarFile.of(path, 20)).config
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(LookaheadError, match=r"graphs\.txt is not what it was: its checksum is"):
        Run.of(config).build_task().sample("train", torch.arange(1))
    with pytest.raises(LookaheadError, match=r"holds G\(2,4\), the question after the edges; asked for is G\(2,5\)"):
        PathStar(2, 5, 20).read_examples(path)
    with pytest.raises(LookaheadError, match="needs file"):
        PathStarFile(2, 4, 20)
