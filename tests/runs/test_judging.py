"""A stored network on the examples of a file."""

import json
from pathlib import Path

import pytest
import torch

import lookahead
from lookahead import cli
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate_on
from lookahead.tasks import MixedLengthsFile, OwnData, PathStar, PathStarFile
from own_file import TINY, graphs, mixed_graphs, stored, sums, write


def test_it_is_measured_as_evaluate_on_does(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = lookahead.run(task=PathStar(2, 4, 20), device="cpu", **TINY)
    task, objective = lookahead.trained(result.run)
    _, prompts, answers = PathStar.read(graphs(), 20)
    wanted = evaluate_on(objective, task, prompts, answers)
    assert cli.main(["test", result.run.id[:6], graphs(), "--json", "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measures"]["loss"] == pytest.approx(wanted["loss"])
    share = told["by_position"][1]["teacher_forced_token_accuracy"]
    assert share["low"] <= share["value"] <= share["high"]
    assert share["value"] == wanted["teacher_forced_token_accuracy"][1]
    assert cli.main(["test", result.run.id, graphs(), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"G(2,4) teacher_forcing, seed 0 ({result.run.id}), on ")
    assert lines[0].endswith("4000 examples, 4000 of them different")
    assert str(lookahead.evaluate_on(result, graphs(), device="cpu")).splitlines() == lines
    assert lookahead.evaluate_on(objective, task, prompts, answers)["loss"] == pytest.approx(wanted["loss"])
    with pytest.raises(LookaheadError, match=r"measured on tokens: evaluate_on\(objective, task, prompts, answers\)"):
        lookahead.evaluate_on(objective, task)  # type: ignore[call-overload]
    assert [line.split()[0] for line in lines[2:]] == ["token", "0", "1", "2", "3"]


def test_positions_of_long_answers_have_wide_intervals(store: Path, tmp_path: Path) -> None:
    """Only the examples whose answer is as long stand behind them, each prompt once."""
    result = lookahead.run(task=OwnData(stored("sums"), prompt_field="question"), device="cpu", **TINY)
    records = sums(3000)[:50]
    judged = lookahead.evaluate_on(result, write(tmp_path / "some.jsonl", [*records, *records]), device="cpu")
    lengths = [len(record["answer"]) + 1 for record in records]
    assert judged.measures["examples"] == 100
    assert judged.counts == [sum(length > place for length in lengths) for place in range(6)]


def test_what_it_was_trained_on_is_said(store: Path, tmp_path: Path) -> None:
    """By prompt; graphs whatever the order of their edges. Of a task that draws, nothing is said."""
    texts, records = (
        lookahead.run(task=OwnData(stored("sums"), prompt_field="question"), device="cpu", **TINY),
        sums(3000),
    )
    judged = lookahead.evaluate_on(texts, write(tmp_path / "some.jsonl", [*records[:50], records[0]]), device="cpu")
    task = lookahead.trained(texts.run)[0]
    assert isinstance(task, OwnData)
    trained = {tuple(row) for row in task.at(task.table.split_rows("train", torch.device("cpu")))[0].tolist()}
    asked = {tuple(row) for row in task.read_examples(tmp_path / "some.jsonl")[0].tolist()}
    assert judged.trained_on == len(asked & trained) > 20
    assert f"{judged.trained_on} of the different examples are among those it was trained on" in str(judged)
    assert json.loads(judged.to_json())["trained_on"] == judged.trained_on

    for task in (PathStarFile.of(graphs(), 20), MixedLengthsFile.of(mixed_graphs(), 20)):
        result, turned = lookahead.run(task=task, device="cpu", **TINY), []
        for line in Path(task.file).read_text().splitlines():
            edges, rest = line.split("/")
            turned.append("|".join(reversed(edges.split("|"))) + "/" + rest)
        (tmp_path / "turned.txt").write_text("\n".join(turned))
        judged = lookahead.evaluate_on(result, tmp_path / "turned.txt", device="cpu")
        assert judged.trained_on == task.facts.prompts["train"]

    drawn = lookahead.evaluate_on(lookahead.run(task=PathStar(2, 4, 20), device="cpu", **TINY), graphs(), device="cpu")
    assert drawn.trained_on is None
    assert "trained on" not in str(drawn)


def test_what_cannot_be_judged(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookaheadError, match="a run is named by its id, such as 9bcb11b61904"):
        lookahead.evaluate_on("direction", graphs())
    assert cli.main(["test", "0123", graphs()]) == 1
    assert "no run 0123 was done here" in capsys.readouterr().err
    result = lookahead.run(task=PathStar(2, 3, 20), device="cpu", **TINY)
    with pytest.raises(LookaheadError, match=r"holds G\(2,4\), the question after the edges; asked for is G\(2,3\)"):
        lookahead.evaluate_on(result.run, graphs())
    for other in ("1", "2"):
        (store / "runs" / f"ab{other}").mkdir()
        (store / "runs" / f"ab{other}" / "result.json").touch()
    with pytest.raises(LookaheadError, match="several runs begin with ab: ab1, ab2"):
        lookahead.evaluate_on("ab", graphs())
