"""Path-star graphs of several lengths from a file: as they stand there, split as those that are drawn, trained on."""

from pathlib import Path

import pytest
import torch

import lookahead
from lookahead.contracts import SPLITS
from lookahead.errors import LookaheadError
from lookahead.runs.run import Run
from lookahead.tasks import MixedLengths, MixedLengthsFile
from own_file import TINY, graphs, mixed_graphs


def test_it_holds_the_graphs_of_the_file_each_in_the_split_of_its_kind() -> None:
    task, drawn = MixedLengthsFile.of(mixed_graphs(), 20), MixedLengths(2, 3, 5, 20)
    assert task.title == drawn.title
    there = Path(mixed_graphs()).read_text().splitlines()
    found = []
    for split in SPLITS:
        prompts, answers = task.sample(split, torch.arange(len(task.table.parts[split])))
        task.check_examples(prompts, answers)
        for star, rows in drawn.by_length(answers):
            assert set(star.split_of(drawn.as_star(star, prompts[rows]))) == {split}
        found += [text.replace(".", "") for text in task.text(torch.cat([prompts, answers], dim=1))]
    assert sorted(found) == sorted(there)
    assert task.test_size == task.facts.prompts["test"]


def test_a_run_is_trained_on_it_and_judged_on_a_file(store: Path, tmp_path: Path) -> None:
    result = lookahead.run(task=MixedLengthsFile.of(mixed_graphs(), 20), device="cpu", **TINY)
    drawn = lookahead.run(task=MixedLengths(2, 3, 5, 20), device="cpu", **TINY)
    assert result.measures.keys() == drawn.measures.keys()
    assert Run.from_json(result.run.to_json()).id == result.run.id
    (tmp_path / "some.txt").write_text("\n".join(Path(mixed_graphs()).read_text().splitlines()[:40]))
    assert lookahead.evaluate_on(result, tmp_path / "some.txt", device="cpu").measures["examples"] == 40


def test_editors_marks_and_a_guessed_number_of_labels(tmp_path: Path) -> None:
    lines = Path(mixed_graphs()).read_text().splitlines()
    other = tmp_path / "edited.txt"
    other.write_bytes(("\ufeff" + " \r\n".join(lines) + "\r\n\r\n").encode())
    with pytest.warns(UserWarning, match="num_nodes is not given and taken to be 20, one more than the largest label"):
        task = MixedLengthsFile.of(other)
    known = MixedLengthsFile.of(mixed_graphs(), 20)
    assert torch.equal(task.sample("test", torch.arange(50))[0], known.sample("test", torch.arange(50))[0])


GOOD = "7,2|4,7|4,9|9,1/4,2=4,7,2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{GOOD}\n4,7|4,9|4,1/4,1=4,1", r"odd\.txt, line 2: a G\(3,2\), but the first line's has 2 arms"),
        (f"{GOOD}\n4,2/7,2|4,7|4,9|9,1=4,7,2", "line 2: the question stands before the edges"),
        (f"{GOOD}\n\n{GOOD}", "line 2: an empty line"),
        (f"{GOOD}\n7,2|4,7|4,29|29,1/4,2=4,7,2", "line 2: label 29, but num_nodes is 20"),
        (f"{GOOD}\n7,2|4,7|4,9|9,1/4,2=4,9,1", "line 2: the path '4,9,1' is not the one from start to goal, '4,7,2'"),
        (GOOD, "longest must be above shortest, not 3 and 3: for one length there is path_star"),
        ("", "no examples in it"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_its_reason(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(text)
    with pytest.raises(LookaheadError, match=message):
        MixedLengthsFile.of(path, 20)


def test_graphs_of_another_size_are_refused() -> None:
    with pytest.raises(LookaheadError, match=r"holds G\(2,4-4\); asked for is G\(3,3-5\)"):
        MixedLengthsFile(3, 3, 5, 20, file=mixed_graphs()).read_examples(graphs())
