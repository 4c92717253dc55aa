"""What the readers read, and the audit as a whole on what a network learns at once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import lookahead
from lookahead import cli
from lookahead.auditing import meter, readers
from lookahead.auditing.readers import (
    Backwards,
    Held,
    Reader,
    Way,
    build,
    followed,
    token_losses,
    train_reader,
    without_prompt,
)
from lookahead.contracts import Loss
from lookahead.errors import LookaheadError
from lookahead.tasks import OwnData
from own_file import copies, stored, sums, write

FIELDS: dict[str, Any] = {"prompt_field": "question"}
TINY = {"layers": 1, "width": 16, "heads": 2}


def held(task: OwnData, count: int = 40) -> Held:
    return Held(*task.sample("test", torch.arange(count)))


@pytest.mark.parametrize("kind", ["sums", "copies"])
@pytest.mark.filterwarnings("ignore:.*examples repeat one before them")
def test_backwards_turns_each_answer_before_its_end(kind: str) -> None:
    task, backwards = OwnData(stored(kind), **FIELDS), Backwards(stored(kind), **FIELDS)
    for split in ("train", "test"):
        prompts, answers = task.sample(split, torch.arange(50))
        same, turned = backwards.sample(split, torch.arange(50))
        assert torch.equal(prompts, same)
        assert [text[::-1] for text in task.text(answers)] == task.text(turned)
        assert torch.equal(backwards.turned(turned, turned), answers)


def test_losses_come_in_the_order_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = Backwards(stored("sums"), **FIELDS)
    objective = build({"name": "teacher_forcing"}, backwards, seed=0)

    def known(prompts: torch.Tensor, answers: torch.Tensor, noise: None) -> Loss:
        return Loss(answers.float().mean(), answers.float(), answers)

    monkeypatch.setattr(objective, "forward", known)
    _, answers = OwnData(stored("sums"), **FIELDS).sample("test", torch.arange(40))
    assert torch.equal(token_losses(objective, backwards, *backwards.sample("test", torch.arange(40))), answers.float())


@pytest.mark.filterwarnings("ignore:.*examples repeat one before them")
def test_without_prompt_it_costs_what_the_counts_say() -> None:
    task = OwnData(stored("copies"), **FIELDS)
    costs = without_prompt(task, held(task))
    assert costs.shape == (40, 5)
    assert costs.mean().item() == pytest.approx(torch.tensor(6.0).log().item(), abs=0.05)
    mask = OwnData(stored("sums"), **FIELDS)
    some = held(mask)
    assert torch.equal(without_prompt(mask, some).isnan(), ~mask.taught(some.answers))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*examples repeat one before them")
@pytest.mark.parametrize(("obeys", "share"), [(True, 1.0), (False, 0.0)])
def test_who_goes_by_the_token_before_follows_a_wrong_one(
    obeys: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = OwnData(stored("copies"), **FIELDS)
    objective = build({"name": "teacher_forcing"}, task, seed=0)
    prompts, answers = task.sample("test", torch.arange(40))
    truth = {tuple(prompt): answer for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True)}

    def known(prompts: torch.Tensor, answers: torch.Tensor) -> Loss:
        right = torch.tensor([truth[tuple(row)] for row in prompts.tolist()])
        said = right.clone()
        if obeys:
            said[:, 2] = torch.where(answers[:, 1] == right[:, 1], right[:, 2], (right[:, 2] + 1) % 6)
        return Loss(said.float().mean(), said.float(), said)

    monkeypatch.setattr(objective, "forward", known)
    reader = Reader("known", objective, task, 0, True, 0.0, torch.zeros(40, 5))
    led, tried = followed(reader.predict, held(task), 1, None)
    assert tried == 40
    assert led / tried == share


@pytest.mark.filterwarnings("ignore:.*examples repeat one before them")
def test_a_reader_is_trained_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MODEL", TINY)
    task, told = OwnData(stored("copies"), **FIELDS), list[str]()
    way = Way("forwards", {"name": "teacher_forcing"}, task)

    def read(way: Way = way, seed: int = 0) -> Reader:
        return train_reader(way, held(task), 3, seed, told.append, tmp_path)

    first = read()
    again = read()
    assert told == ["forwards: 3 steps, held-out loss " + told[0].split()[-1], "forwards: trained before"]
    assert torch.equal(again.losses, first.losses)
    assert (again.steps, again.finished, again.seconds) == (first.steps, first.finished, first.seconds)
    read(seed=1)
    read(Way("backwards", way.method, Backwards(stored("copies"), **FIELDS)))
    read(Way("blind", {"name": "teacherless"}, task))
    assert told.count("forwards: trained before") == 1
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])
    assert torch.equal(read().losses, first.losses), "what is damaged is trained again"
    assert "trained before" not in told[-1]


def test_an_audit_of_what_is_too_little_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "few.jsonl", sums(200)))
    assert cli.main(["audit", path, "--prompt-field", "question", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["answer"] == "cannot tell"
    assert "are too few; it takes 500 and 50" in told["verdict"]["reasons"][0]
    assert cli.main(["audit", path, "--prompt-field", "q"]) == 1
    assert "the fields there are: question, answer" in capsys.readouterr().err
    with pytest.raises(LookaheadError, match="steps must be at least 1"):
        lookahead.audit(path, "question", steps=0)


def test_an_audit_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few steps: what comes out is whole, whatever the verdict."""
    monkeypatch.setattr(readers, "MODEL", TINY)
    monkeypatch.setattr(readers, "EVERY", 5)
    monkeypatch.setattr(meter, "TEST_EXAMPLES", 64)
    path = str(write(tmp_path / "copies.jsonl", copies(900)))
    report, picture = tmp_path / "report.html", tmp_path / "picture.svg"
    call = ["audit", path, "--prompt-field", "question", "--steps", "10", "--html", str(report), "--svg", str(picture)]
    assert cli.main(call) in (0, 3, 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: 900 examples; different prompts: ")
    assert "with a teacher" in report.read_text()
    assert picture.read_text().startswith("<svg")
    assert any("Still improving when they were stopped" in line for line in lines)
