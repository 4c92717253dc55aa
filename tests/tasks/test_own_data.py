"""Tasks from files: formats, splits, faults, and every objective on them."""

import csv
import dataclasses
import gzip
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from pyarrow import parquet

import lookahead
from lookahead.contracts import SPLITS, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation import evaluate, evaluate_on
from lookahead.runs.run import Run
from lookahead.tasks import OwnData
from lookahead.tasks.own_data import reading, table
from own_file import copies, stored, sums, write
from registered import OBJECTIVES

FIELDS = {"prompt_field": "question"}
MODEL = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
TINY = {"model": MODEL, "steps": 4, "batch_size": 8, "evaluate_every": 2, "warmup": 2}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "sums.jsonl", sums(400, digits=3))


def examples(task: Task, split: Any, count: int) -> list[tuple[str, str]]:
    prompts, answers = task.sample(split, torch.arange(count))
    return list(zip(task.text(prompts), task.text(answers), strict=True))


def counts(task: OwnData) -> dict[str, int]:
    return {split: len(task.table.parts[split]) for split in SPLITS}


# -- formats ---------------------------------------------------------------------------------------------------------


def as_zst(text: bytes, path: Path) -> None:
    with pyarrow.CompressedOutputStream(str(path), "zstd") as out:
        out.write(text)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".tsv", ".parquet"])
def test_every_format_gives_the_same_examples(ending: str, file: Path) -> None:
    records, path = sums(400, digits=3), file.with_name("other" + ending)
    text = file.read_bytes()
    if "csv" in ending or ending == ".tsv":
        plain = file.with_name("table")
        with plain.open("w", newline="") as out:
            writer = csv.DictWriter(out, ["answer", "id", "question"], delimiter="\t" if ending == ".tsv" else ",")
            writer.writeheader()
            writer.writerows({**record, "id": i} for i, record in enumerate(records))
        text = plain.read_bytes()
    if ending == ".parquet":
        whole = [{**record, "answer": int(record["answer"])} for record in records]  # whole numbers are taken as text
        parquet.write_table(pyarrow.Table.from_pylist(whole), path)
    elif ending.endswith(".zst"):
        as_zst(text, path)
    else:
        path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    task, wanted = OwnData(str(path), **FIELDS), OwnData(str(file), **FIELDS)
    assert task.facts == wanted.facts
    there = {(record["question"], record["answer"]) for record in records}
    found = [examples(task, split, count) for split, count in counts(task).items()]
    assert [set(one) for one in found] == [set(examples(wanted, split, n)) for split, n in counts(wanted).items()]
    assert set.union(*map(set, found)) == there


def test_marks_of_editors_and_blank_lines_are_passed_over(file: Path) -> None:
    lines = file.read_text().splitlines()
    other = file.with_name("edited.jsonl")
    other.write_bytes(("\ufeff" + "\r\n".join([*lines[:5], "", *lines[5:], "", " "]) + "\r\n").encode())
    assert OwnData(str(other), **FIELDS).facts == OwnData(str(file), **FIELDS).facts


@pytest.mark.parametrize("tokenizer", ["characters", "words", "bytes"])
def test_text_comes_back_from_tokens(tokenizer: str, tmp_path: Path) -> None:
    records = [{"prompt": f"größe {i} von {i * i}", "answer": f"{i} ü{i % 7}"} for i in range(400)]
    task = OwnData(str(write(tmp_path / "words.jsonl", records)), tokenizer=tokenizer)
    there = {(record["prompt"], record["answer"]) for record in records}
    assert set(examples(task, "train", counts(task)["train"])) < there
    prompts, answers = task.sample("test", torch.arange(8))
    assert (prompts[:, -1] == task.vocab_size - 1).all()
    pads = prompts == task.vocab_size - 2
    assert (pads.int().diff(dim=1) <= 0).all(), "padding stands in front"
    assert answers.max() < task.labels


def test_a_tokenizer_from_a_folder(tmp_path: Path, file: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    whole = tokenizers.Tokenizer(tokenizers.models.WordLevel({str(n): n for n in range(10)}, unk_token="0"))
    whole.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    whole.save(str(tmp_path / "tokenizer.json"))
    task = OwnData(str(file), **FIELDS, tokenizer=str(tmp_path))
    assert set(task.vocabulary[: task.end]) == set("0123456789")
    assert task.checksum.startswith(OwnData(str(file), **FIELDS).checksum + "-")


def test_text_in_the_pieces_of_a_tokenizer_comes_back(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    whole = tokenizers.Tokenizer(tokenizers.models.BPE())
    whole.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    records = [{"prompt": f"größe {i} von {i * i}", "answer": f"{i} ü {i % 7}"} for i in range(400)]
    whole.train_from_iterator([record["prompt"] for record in records], trainer)
    whole.save(str(tmp_path / "tokenizer.json"))
    task = OwnData(str(write(tmp_path / "words.jsonl", records)), tokenizer=str(tmp_path))
    there = {(record["prompt"], record["answer"]) for record in records}
    assert set(examples(task, "train", counts(task)["train"])) < there


def test_words_that_differ_in_blanks_alone_are_one_prompt(tmp_path: Path) -> None:
    records = [{"prompt": f"a{'  ' * (i % 2)} {i // 2}", "answer": str(i % 3)} for i in range(1000)]
    path = str(write(tmp_path / "blanks.jsonl", records))
    with pytest.warns(UserWarning, match="prompts have more than one answer"):
        assert sum(OwnData(path, tokenizer="words").facts.prompts.values()) == 500


# -- splits ----------------------------------------------------------------------------------------------------------


def test_duplicates_fall_on_one_side_and_are_counted(tmp_path: Path) -> None:
    records = copies(500)
    path = write(tmp_path / "twice.jsonl", [*records, *records[:100], {**records[0], "answer": "zzzzz"}])
    task = OwnData(str(path), **FIELDS)
    with pytest.warns(UserWarning, match="examples repeat one before them"):
        facts = task.facts
    distinct = {(record["question"], record["answer"]) for record in records}
    assert facts.examples == 601
    assert facts.duplicates == 601 - len(distinct) - 1
    assert facts.ambiguous == 1
    sides = {split: {prompt for prompt, _ in examples(task, split, n)} for split, n in counts(task).items()}
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]
    assert not sides["test"] & sides["validation"]
    assert {split: len(found) for split, found in sides.items()} == facts.prompts
    held = examples(task, "test", counts(task)["test"])
    assert len(held) == len(set(held)), "held-out examples count once"
    assert len(examples(task, "train", counts(task)["train"])) > facts.prompts["train"], "training keeps them"


def test_an_epoch_holds_every_training_example_once_and_orders_differ(file: Path) -> None:
    task = OwnData(str(file), **FIELDS)
    n = counts(task)["train"]
    rows = [task.table.draw(("key", seed), "train", torch.arange(n) + epoch * n) for seed in (0, 1) for epoch in (0, 1)]
    for one in rows:
        assert torch.equal(one.sort().values, torch.from_numpy(task.table.parts["train"]).long().sort().values)
    assert len({tuple(one.tolist()) for one in rows}) == 4
    steps = (rows[0].diff() % n).unique()
    assert len(steps) > n / 3, "a walk by one stride would be no shuffle"


def test_a_prompt_stays_on_its_side_when_the_file_grows(tmp_path: Path) -> None:
    records = sums(900, digits=4)
    small, large = (OwnData(str(write(tmp_path / f"{count}.jsonl", records[:count])), **FIELDS) for count in (500, 900))
    for split, count in counts(small).items():
        assert set(examples(small, split, count)) <= set(examples(large, split, counts(large)[split]))


# -- runs ------------------------------------------------------------------------------------------------------------


def test_the_id_of_a_run_changes_with_the_content(store: Path, file: Path) -> None:
    task = {"name": "own_data", "file": str(file), **FIELDS}
    before = Run(task=task)
    assert before.id == Run(task=OwnData(str(file), **FIELDS)).id == Run.from_json(before.to_json()).id
    write(file, sums(401, digits=3))
    after = Run(task=task)
    assert after.id != before.id
    assert Run.of(after.config).build_task().prompt_length
    with pytest.raises(LookaheadError, match=r"sums\.jsonl is not what it was: its checksum is [0-9a-f]{16}"):
        _ = Run.of(before.config).build()


def test_a_stored_run_is_read_where_the_file_is_gone(store: Path, file: Path) -> None:
    result = lookahead.run(task=OwnData(str(file), **FIELDS), device="cpu", **TINY)
    file.unlink()
    reading.read_table.cache_clear()
    again = lookahead.Run.of(result.run.config)
    assert again.id == result.run.id
    with pytest.raises(LookaheadError, match=r"sums\.jsonl cannot be read"):
        _ = again.build_task().vocab_size


@pytest.mark.parametrize("method", OBJECTIVES.values(), ids=OBJECTIVES)
def test_every_objective_trains_on_a_file_or_says_why_not(method: Any, store: Path) -> None:
    """Those that go by the end of the answer, or by the decision, train where the file tells them."""
    sums, copies = (
        OwnData(stored("sums"), **FIELDS),
        OwnData(stored("copies"), **FIELDS, decision_at=1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Run(task=sums, objective=method, model=MODEL).build()
        except LookaheadError as error:
            if "one length" not in str(error) and "decision" not in str(error):
                raise
            task = copies
        else:
            task = sums
        _, objective = Run(task=task, objective=method, model=MODEL).build()
        prompts, answers = task.sample("train", torch.arange(4))
        noise = objective.noise(("a test",), torch.arange(4))
        if method.get("of", "answer") != "answer":
            with pytest.raises(LookaheadError, match="the task knows none"):
                objective(prompts, answers, noise)
            return
        loss = objective(prompts, answers, noise)
        assert loss.total.isfinite()
        mask = task.taught(answers)
        assert mask is None or loss.tokens[~mask].isnan().all()
        loss.total.backward()
        measures = evaluate(objective, task, "test", 16)
    assert "cheat_accuracy" not in measures
    assert ("decision_accuracy" in measures) == (task is copies)
    assert 0 <= measures["autoregressive_accuracy"] <= 1


def test_members_of_a_stack_are_measured_as_alone(store: Path) -> None:
    """Where no decoy is known nothing is forced, stacked or not."""
    from lookahead.runs.harness import run_all

    runs = [Run(task=OwnData(stored("sums"), **FIELDS), seed=seed, **TINY) for seed in (0, 1)]
    both = run_all(runs, device="cpu")
    alone = lookahead.run(runs[1], device="cpu", again=True)
    assert both[1].measures.keys() == alone.measures.keys()  # type: ignore[union-attr]
    assert both[1].current  # type: ignore[union-attr]
    assert both[1].measures["loss"] == pytest.approx(alone.measures["loss"], rel=1e-4)  # type: ignore[union-attr]


def test_what_needs_the_decision_says_that_nobody_knows_it(store: Path) -> None:
    task = OwnData(stored("sums"), **FIELDS)
    with pytest.raises(LookaheadError, match=r"decision of sums\.jsonl: judged_by is autoregressive_accuracy"):
        Run(task=task, judged_by="decision_accuracy")
    with pytest.raises(LookaheadError, match="name it by decision_at"):
        Run(task=task, objective={"name": "hints", "taught": "decision"}).build()


def test_an_answer_is_right_up_to_its_end() -> None:
    task = OwnData(stored("sums"), **FIELDS)
    prompts, answers = task.sample("train", torch.arange(200))
    mask = task.taught(answers)
    assert mask is not None
    assert not mask.all()
    behind = torch.where(mask, answers, 0)
    assert task.correct(prompts, answers, behind).all()
    assert not task.correct(prompts, answers, torch.where(answers == task.end, 0, answers)).any()
    assert (mask.sum(dim=1) == torch.tensor([len(text) + 1 for text in task.text(answers)])).all()


def test_a_stored_network_is_measured_on_another_file(store: Path, tmp_path: Path) -> None:
    task = OwnData(stored("sums"), **FIELDS)
    _, objective = Run(task=task, **TINY).build()
    other = write(tmp_path / "other.jsonl", sums(3000)[100:140])
    prompts, answers = task.read_examples(other)
    assert task.text(prompts) == [record["question"] for record in sums(3000)[100:140]]
    assert evaluate_on(objective, task, prompts, answers)["examples"] == 40
    for record, message in [
        ({"question": "1*1", "answer": "1"}, r"line 1: the prompt holds '\*', which no prompt in .* does"),
        ({"question": "1+1", "answer": "+"}, "line 1: the answer holds a token that stands in prompts alone"),
        ({"question": "1+1" * 9, "answer": "1"}, "line 1: prompt of 27 tokens: none in .* has more than 9"),
    ]:
        with pytest.raises(LookaheadError, match=message):
            task.read_examples(write(other, [record]))


# -- faults ----------------------------------------------------------------------------------------------------------

GOOD = '{"question": "1", "answer": "2"}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "1", "answer"', r"line 2: no JSON \("),
        ("[1, 2]", r"line 2: a JSON object is wanted, with fields, not \[1, 2\]"),
        ('{"question": "1", "response": "2"}', "line 2: no field 'answer'; the fields there are: question, response"),
        ('{"question": "1", "answer": 1.5}', "line 2: the field 'answer' holds 1.5, not text or a whole number"),
        ('{"question": "1", "answer": true}', "holds True, not text"),
        ('{"question": "1", "answer": ""}', "line 2: the answer is empty"),
        ('{"question": "", "answer": "1"}', "line 2: the prompt is empty"),
        (
            '{"question": "' + "1" * 60 + '", "answer": "1"}',
            "line 2: prompt and answer have 61 tokens; `longest` is 50",
        ),
        (b'{"question": "\xe9", "answer": "1"}', "line 2: no UTF-8: byte 0xe9 at column 15"),
    ],
)
def test_a_malformed_line_is_named_and_left_out_on_request(line: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    bad = line if isinstance(line, bytes) else line.encode()
    rest = "\n".join(map(json.dumps, sums(400, digits=3))).encode()
    path.write_bytes(b"\n".join([GOOD.encode(), bad, rest, bad]))
    options = {**FIELDS, "longest": 50}
    with pytest.raises(LookaheadError, match=rf"bad\.jsonl, .*{message}"):
        _ = OwnData(str(path), **options).facts
    with pytest.raises(LookaheadError, match=r"line 403: .* \(left out before: 1, as many as skip_bad allows\)"):
        _ = OwnData(str(path), **options, skip_bad=1).facts
    with pytest.warns(UserWarning, match="2 lines left out; the first: line 2"):
        assert OwnData(str(path), **options, skip_bad=2).facts.skipped == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("data.txt", "1\t2", "its name tells no format"),
        ("data.jsonl", "", "no examples in it"),
        ("data.csv", "", "no examples in it"),
        ("data.csv", "q,answer\n1,2\n", "has no field 'question'; the fields there are: q, answer"),
        ("data.json", f"[\n{GOOD},\n{GOOD}]", r"data\.json: it begins with '\[', as one list of all examples does"),
        ("data.csv", "question,answer\n1,2,3\n", "line 2: 3 fields, but the first line names 2"),
        ("data.parquet", "no parquet", "is no whole Parquet file"),
        ("data.jsonl.gz", "no gzip", "cannot be read"),
        ("data.jsonl.zst", "no zstd", "cannot be read"),
        ("data.jsonl", f"{GOOD}\n" * 50, "all 50 answers are the same"),
        ("data.jsonl", "\n".join(map(json.dumps, sums(60))), "too small to hold anything out from: its 60 prompts"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(LookaheadError, match=message):
            _ = OwnData(str(path), **FIELDS).vocab_size


def test_other_encodings_and_missing_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "wide.jsonl").write_text(GOOD, encoding="utf-16")
    with pytest.raises(LookaheadError, match="it begins as UTF-16 does: save it as UTF-8"):
        _ = OwnData(str(tmp_path / "wide.jsonl"), **FIELDS).facts
    with pytest.raises(LookaheadError, match=r"missing\.jsonl cannot be read \(No such file"):
        OwnData("missing.jsonl")
    with pytest.raises(LookaheadError, match="unknown tokenizer 'letters': characters, words, bytes, or a folder"):
        OwnData(stored("sums"), **FIELDS, tokenizer="letters")
    with pytest.raises(LookaheadError, match=r"decision_at=9, but the shortest answer in .* has 5 tokens"):
        _ = OwnData(stored("copies"), **FIELDS, decision_at=9).vocab_size


# -- large files -----------------------------------------------------------------------------------------------------


def test_a_large_file_is_kept_on_disk_and_mapped(store: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CACHED_FROM", 0)
    reading.read_table.cache_clear()
    fresh = OwnData(str(file), **FIELDS)
    wanted = examples(fresh, "train", 50)
    assert isinstance(fresh.table.prompts.flat, table.np.memmap)
    reading.read_table.cache_clear()
    monkeypatch.setattr(reading, "_fresh_table", None)
    file.unlink()  # what was read once is there
    again = dataclasses.replace(fresh)
    assert examples(again, "train", 50) == wanted
    assert again.facts == fresh.facts


def test_tokens_take_a_byte_each() -> None:
    read = OwnData(stored("sums"), **FIELDS).table
    held = sum(part.nbytes for part in read.parts.values())
    tokens = int(read.prompts.lengths.sum() + read.answers.lengths.sum())
    assert read.prompts.flat.nbytes + read.answers.flat.nbytes == tokens
    assert held <= tokens + 21 * read.facts.examples + 64


def test_chunks_of_several_widths_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHUNK", 64)
    from array import array

    collector, rows = table.Collector(), [[i, 2 * i, 3 * i][: i % 3 + 1] for i in range(400)]
    for row in rows:
        collector.add(array("i", row))
    found = collector.tokens(table.np.arange(1200))
    assert found.flat.dtype == table.np.int16
    shown = found.rows(torch.arange(400), 4, filling=-1, at_end=True)
    assert shown.tolist() == [[*row, *[-1] * (4 - len(row))] for row in rows]
    padded = found.rows(torch.arange(400), 4, filling=-1, at_end=False)
    assert padded.tolist() == [[*[-1] * (4 - len(row)), *row] for row in rows]
    assert math.isclose(found.lengths.mean(), sum(map(len, rows)) / 400)
