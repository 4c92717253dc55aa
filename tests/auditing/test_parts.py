"""Answers looked at in parts, and in fields; readers trained in processes of their own."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import lookahead
from lookahead import cli
from lookahead.auditing import meter, readers, together
from lookahead.auditing.findings import Units, find_decision, judge, mean, places, totals
from lookahead.auditing.parts import NOWHERE, Parts, fields, shares, tokens
from lookahead.auditing.readers import Way
from lookahead.auditing.report import Audit, Order
from lookahead.errors import LookaheadError
from lookahead.evaluation import proportion
from lookahead.runs.run import Run
from lookahead.tasks import OwnData
from own_file import copies, stored, write

TINY = {"layers": 1, "width": 16, "heads": 2}
MASK = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])


def test_shares_are_of_each_answer() -> None:
    cut = shares(MASK, 3)
    assert cut.of.tolist() == [[0, 0, 1, 1, 2, 2], [0, 1, 2, *[NOWHERE] * 3]]
    losses = torch.arange(12.0).view(2, 6).where(MASK, torch.nan)
    assert cut.sums(losses).tolist() == [[1.0, 5.0, 9.0], [6.0, 7.0, 8.0]]
    assert shares(MASK, 4).sums(losses).isnan().tolist() == [[False] * 4, [False, False, False, True]]
    assert shares(MASK, 40).units.names == [str(number) for number in range(1, 7)], "no more than there are tokens"
    assert cut.dearest(losses, 1).tolist() == [3, 1]
    assert cut.dearest(losses, 2).tolist() == [4, 0], "the last token leads nowhere"
    assert tokens(MASK).sums(losses) is losses


def test_fields_end_with_a_mark() -> None:
    between = torch.tensor([[0, 1, 0, 1, 0, 0], [1, 0, 1, 0, 0, 0]]).bool()
    cut = fields(MASK, between, ["plan", "way", "end"])
    assert cut.of.tolist() == [[0, 0, 1, 1, 2, 2], [0, 1, 1, *[NOWHERE] * 3]]
    assert (cut.units.label(1), cut.units.called(1)) == ("way", "the field 'way'")
    assert cut.units.several([1, 2]) == "2 fields, from the field 'way' on, cost"


def test_a_decision_whose_place_moves_with_the_length_is_seen_in_parts() -> None:
    """In the middle of answers of 4 to 12 tokens: no place of the tokens is open in all of them, but a share is."""
    drawn = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 7, (600,), generator=drawn) * 2
    mask = torch.arange(12) < lengths[:, None]
    noise = torch.rand(600, 12, generator=drawn) * 0.02
    middle = torch.arange(12) == lengths[:, None] // 2
    teacher = torch.where(mask, noise + 0.7 * middle, torch.nan)
    blind = torch.where(mask, noise + 0.7 * (torch.arange(12) >= lengths[:, None] // 2), torch.nan)
    nothing = torch.where(mask, 3.0, torch.nan)
    cut = shares(mask, 2)
    found = places(*(Parts(cut.units, cut.of).sums(one) for one in (nothing, blind, teacher)))
    assert find_decision(found) is None, "nothing comes behind the second half"
    cut = shares(mask, 4)
    found = places(*(cut.sums(one) for one in (nothing, blind, teacher)))
    decision = find_decision(found)
    assert decision == 2
    assert torch.equal(cut.dearest(teacher, decision), lengths // 2)
    other = Order("reversed", mean(totals(noise)), mean(totals(teacher) - totals(noise)), None, 10, True)
    own = Order("teacher", mean(totals(teacher)), mean(torch.zeros(600)), None, 10, True)
    verdict = judge(found, decision, proportion(0.97, 600), [own, other], cut.units)
    assert verdict.answer == "yes"
    assert verdict.reasons[0] == "Yes: planning supervision is probably lost at part 3 of 4."
    assert verdict.reasons[1].startswith("Part 3 of 4 costs 0.7")


# -- fields of an answer ---------------------------------------------------------------------------------------------


def with_fields(path: Path, count: int = 900) -> Path:
    records = [
        {"question": one["answer"], "plan": one["answer"][: 1 + i % 3], "result": one["answer"][::-1]}
        for i, one in enumerate(copies(count))
    ]
    return write(path, records)


@pytest.mark.filterwarnings("ignore:.*(repeat one before them|more than one answer)")
@pytest.mark.parametrize("tokenizer", ["characters", "words", "bytes"])
def test_an_answer_of_several_fields(tokenizer: str, tmp_path: Path, store: Path) -> None:
    path = str(with_fields(tmp_path / "fields.jsonl"))
    task = OwnData(path, "question", ["plan", "result"], tokenizer=tokenizer)
    there = {f"{one['plan']}\n{one['result']}" for one in map(json.loads, Path(path).read_text().splitlines())}
    assert {*task.text(task.sample("test", torch.arange(40))[1])} <= there
    held = meter.Held(*task.sample("test", torch.arange(40)))
    cut = meter.parts_of(task, held, None)
    assert cut.units.names == ["plan", "result"]
    assert (cut.of.max(dim=1).values == 1).all()
    named = Run(task={"name": "own_data", "file": path, "prompt_field": "question", "answer_field": ["plan", "result"],
                      "tokenizer": tokenizer})  # fmt: skip
    assert Run(task=task).id == named.id == Run.from_json(named.to_json()).id
    assert torch.equal(task.read_examples(path)[1], task.at(torch.arange(900))[1])
    with pytest.raises(LookaheadError, match="a field or several different ones"):
        OwnData(path, "question", ["plan", "plan"])
    write(tmp_path / "empty.jsonl", [{"question": "a", "plan": "", "result": "a"}])
    with pytest.raises(LookaheadError, match="line 1: the answer's field 'plan' is empty"):
        _ = OwnData(str(tmp_path / "empty.jsonl"), "question", ["plan", "result"]).facts


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(readers, "MODEL", TINY)
    monkeypatch.setattr(readers, "EVERY", 5)
    monkeypatch.setattr(meter, "TEST_EXAMPLES", 64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("more", "kind", "names"),
    [
        (["--answer-field", "plan", "--answer-field", "result"], "field", ["plan", "result"]),
        (["--answer-field", "result", "--parts", "2"], "part", ["1", "2"]),
    ],
)
def test_an_audit_by_parts(
    more: list[str], kind: str, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_fields(tmp_path / "fields.jsonl")
    call = ["audit", str(path), "--prompt-field", "question", "--steps", "5", "--jobs", "1", "--json"]
    assert cli.main([*call, *more, "--html", str(tmp_path / "a.html"), "--png", str(tmp_path / "a.png")]) in (0, 3, 4)
    told = json.loads(capsys.readouterr().out)
    assert told["units"] == {"kind": kind, "names": names}
    assert len(told["places"]) == len(names)
    whole = told["orders"][0]["total"]["value"]
    assert sum(place["teacher"]["value"] for place in told["places"]) == pytest.approx(whole, rel=1e-4)
    audit = Audit.of(told)
    assert audit.units == Units(kind, names)  # type: ignore[arg-type]
    assert all(f">{name}</t" in audit.html() for name in names)
    assert cli.main([*call, "--answer-field", "result", "--parts", "1"]) == 1
    assert "parts must be at least 2" in capsys.readouterr().err


# -- at once ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore:.*(repeat one before them|fork)")
def test_readers_trained_at_once_are_those_trained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "START", "fork")  # no time to load torch again
    way = Way("forwards", {"name": "teacher_forcing"}, OwnData(stored("copies"), prompt_field="question"))
    assert pickle.loads(pickle.dumps(together.unread(way))) == way
    told = list[str]()
    call: dict[str, Any] = {"steps": 5, "log": told.append}
    path = write(tmp_path / "copies.jsonl", copies(900))
    both = lookahead.audit(path, "question", jobs=2, **call)
    assert any("held-out loss" in line for line in told)
    alone = lookahead.audit(path, "question", **call)
    assert both.places == alone.places
    assert both.verdict == alone.verdict
