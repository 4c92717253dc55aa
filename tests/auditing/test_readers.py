"""What the readers read, and the audit as a whole on what a network learns at once."""

import json
from pathlib import Path
from types import SimpleNamespace
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
    examples_per_step,
    followed,
    token_losses,
    told_behind,
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
    led, tried = followed(reader.predict, held(task), torch.full((len(held(task)),), 1), None)
    assert tried == 40
    assert led / tried == share
    assert followed(reader.predict, held(task), torch.full((40,), 0), None, ahead=2) == (0, 40), "token 0 tells nothing"


@pytest.mark.parametrize(("tokens", "rows"), [(24, 64), (64, 64), (200, 20), (5000, 8)])
def test_of_long_examples_fewer_are_read_per_step(tokens: int, rows: int) -> None:
    assert examples_per_step(SimpleNamespace(prompt_length=tokens - 4, answer_length=4)) == rows  # type: ignore[arg-type]


@pytest.mark.parametrize(("comma", "ahead"), [(0, 1), (1, 2), (3, 4)])
def test_what_is_the_same_in_all_answers_is_passed_over(comma: int, ahead: int) -> None:
    """A decision, then commas, then what it tells: the commas are judged by nobody."""
    prompt, teacher = torch.zeros(5, 7), torch.zeros(5, 7)
    prompt[:, 1] = teacher[:, 1] = 0.7
    prompt[:, 2 + comma] = 0.7
    assert told_behind(torch.ones(5, dtype=torch.long), prompt, teacher) == ahead
    prompt[:, 2 + comma] = torch.nan
    assert told_behind(torch.ones(5, dtype=torch.long), prompt, teacher) == 1


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
    for option in ("steps", "jobs"):
        assert cli.main(["audit", path, "--prompt-field", "question", f"--{option}", "0"]) == 1
        assert f"{option} must be at least 1, not 0" in capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Readers that are trained in a moment, and kept in a folder of the test; a call on `copies` for the command."""
    monkeypatch.setattr(readers, "MODEL", TINY)
    monkeypatch.setattr(readers, "EVERY", 5)
    monkeypatch.setattr(meter, "TEST_EXAMPLES", 64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path / "copies.jsonl", copies(900))
    return ["audit", str(path), "--prompt-field", "question", "--steps", "10", "--jobs", "1"]


def test_an_audit_from_end_to_end(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few steps: what comes out is whole, whatever the verdict."""
    report, picture, drawn = tmp_path / "report.html", tmp_path / "picture.svg", tmp_path / "picture.png"
    call = [*quick, "--html", str(report), "--svg", str(picture), "--png", str(drawn), "--half-hidden"]
    assert cli.main(call) in (0, 3, 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{quick[1]}: 900 examples; different prompts: ")
    assert "with a teacher" in report.read_text()
    assert picture.read_text().startswith("<svg")
    assert "half the teacher" in picture.read_text()
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert any("Still improving when they were stopped" in line for line in lines)
    assert len([line for line in lines if line.startswith("half of the teacher's")]) == 0, "it is no order"


def test_what_could_not_be_written_is_said_before_anything_is_trained(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "audit", lambda *_, **__: pytest.fail("it was begun"))
    monkeypatch.setattr("lookahead.auditing.audit", lambda *_, **__: pytest.fail("it was begun"))
    (tmp_path / "file").touch()
    for option in ("--html", "--svg", "--png"):
        assert cli.main([*quick, option, str(tmp_path / "file" / "report")]) == 1
        assert "report could not be written" in capsys.readouterr().err


def test_an_interrupted_audit_goes_on(
    quick: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained before the interruption is not trained again, and the report is the same."""
    trained, train = list[str](), readers._train

    def counted(way: Way, *rest: Any) -> Any:
        if way.name == meter.REVERSED and "stop" not in trained:
            trained.append("stop")
            raise KeyboardInterrupt
        trained.append(way.name)
        return train(way, *rest)

    monkeypatch.setattr(readers, "_train", counted)
    assert cli.main(quick) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert "the same call goes on from here" in said.err
    status = cli.main(quick)
    first = capsys.readouterr().out
    assert trained == [meter.WITH_TEACHER, meter.ALONE, "stop", meter.REVERSED, meter.SEVERAL]
    assert cli.main(quick) == status
    assert capsys.readouterr().out == first
    assert len(trained) == 5


def test_a_test_file_of_ones_own(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [record for record in copies(1100)[900:] if record not in copies(900)]
    path = write(tmp_path / "test.jsonl", [*others, *copies(900)[:50]])
    task = OwnData(quick[1], **FIELDS)
    with pytest.warns(UserWarning, match="examples repeat one before them"):
        prompts, _ = task.sample("train", torch.arange(len(task.table.parts["train"])))
    known = {*task.text(prompts)}
    shared = sum(record["question"] in known for record in copies(900)[:50])
    assert 0 < shared < 50
    held, left_out = meter.own_examples(task, path)
    assert left_out == shared
    assert len(held) == 64, "no more than are measured elsewhere"
    assert not known & {*task.text(held.prompts)}
    assert cli.main([*quick, "--test-file", str(path), "--json"]) in (0, 3, 4)
    told = json.loads(capsys.readouterr().out)
    assert told["examples"] == 64
    assert (told["test_file"], told["left_out"]) == (str(path), shared)

    few = write(tmp_path / "few.jsonl", others[:20])
    assert cli.main([*quick, "--test-file", str(few)]) == 3
    assert "20 to test on, are too few" in capsys.readouterr().out
    train = write(tmp_path / "train.jsonl", [{"question": text, "answer": text} for text in sorted(known)[:60]])
    assert cli.main([*quick, "--test-file", str(train)]) == 1
    assert "all its 60 prompts are among those that" in capsys.readouterr().err


# -- bad input -------------------------------------------------------------------------------------------------------


def bad(kind: str) -> bytes:
    """A file of copies with something wrong in its tenth line, or with all of it."""
    lines = [json.dumps(record).encode() for record in copies(900)]
    if kind == "one answer":
        return b"\n".join(json.dumps({**record, "answer": "abcde"}).encode() for record in copies(900))
    lines[9] = {
        "malformed": b'{"question": "abcde", "answer": ',
        "no object": b'["abcde", "abcde"]',
        "missing": b'{"question": "abcde", "reply": "abcde"}',
        "empty answer": b'{"question": "abcde", "answer": ""}',
        "empty prompt": b'{"question": "", "answer": "abcde"}',
        "no text": b'{"question": "abcde", "answer": 1.5}',
        "too long": json.dumps({"question": "a", "answer": "b" * 2000}).encode(),
        "mixed encodings": '{"question": "größe", "answer": "größe"}'.encode("latin-1"),
    }[kind]
    return b"\n".join(lines)


FAULTS = {
    "malformed": "line 10: no JSON (",
    "no object": "line 10: a JSON object is wanted, with fields, not ['abcde', 'abcde']",
    "missing": "line 10: no field 'answer'; the fields there are: question, reply",
    "empty answer": "line 10: the answer is empty",
    "empty prompt": "line 10: the prompt is empty",
    "no text": "line 10: the field 'answer' holds 1.5, not text or a whole number",
    "too long": "line 10: prompt and answer have 2001 tokens; `longest` is 1024",
    "mixed encodings": "line 10: no UTF-8: byte 0xf6 at column 17; the file mixes encodings, or has another",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_line_is_named_and_nothing_is_written(
    kind: str, quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(quick[1]).write_bytes(bad(kind))
    call = [*quick, "--html", str(tmp_path / "report.html"), "--json"]
    assert cli.main(call) == 1
    said = capsys.readouterr()
    assert f"{quick[1]}, {FAULTS[kind]}" in said.err
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["copies.jsonl"]


def test_bad_lines_are_left_out_where_that_is_allowed(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(quick[1]).write_bytes(bad("malformed") + b"\n" + bad("missing").splitlines()[9])
    assert cli.main([*quick, "--skip-bad", "1"]) == 1
    assert "(left out before: 1, as many as skip_bad allows)" in capsys.readouterr().err
    assert cli.main([*quick, "--skip-bad", "2"]) in (0, 3, 4)
    said = capsys.readouterr()
    assert "2 lines left out; the first: line 10: no JSON" in said.err
    assert "2 lines left out" in said.out
    assert cli.main([*quick, "--skip-bad", "-1"]) == 1


def test_what_nothing_can_be_learnt_from_is_said(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(quick[1]).write_bytes(bad("one answer"))
    assert cli.main(quick) == 1
    assert "all 900 answers are the same, so that there is nothing to learn" in capsys.readouterr().err
    Path(quick[1]).write_bytes(b"\n".join(bad("one answer").splitlines()[:50]))
    assert cli.main(quick) == 1, "one answer is worse than few"
    assert "all 50 answers are the same" in capsys.readouterr().err
    Path(quick[1]).write_bytes(b"")
    assert cli.main(quick) == 1
    assert "no examples in it" in capsys.readouterr().err
    assert cli.main([quick[0], "nowhere.jsonl"]) == 1
    assert "nowhere.jsonl cannot be read (No such file or directory" in capsys.readouterr().err
