"""What the README shows is what the library holds."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch

import lookahead
from lookahead import Run, stored
from lookahead.auditing.known_truth import DATA_SETS
from lookahead.chapter.benchmarks import report
from lookahead.contracts import SPLITS, Task
from lookahead.objectives import Teacherless
from registered import of_the_library

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_objective_it_shows_is_the_librarys() -> None:
    shown = next(block for block in blocks("python") if "class Teacherless" in block)
    assert inspect.getsource(Teacherless).strip() in shown


def test_the_call_it_shows_is_a_run() -> None:
    shown = next(block for block in blocks("python") if "lookahead.run(" in block)
    calls = [node for node in ast.walk(ast.parse(shown)) if isinstance(node, ast.Call)]
    call = next(node for node in calls if any(k.arg == "objective" for k in node.keywords))
    fields = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg != "task"}
    Run(task={"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}, **fields)


@pytest.mark.parametrize("page", sorted((ROOT / "book" / "api").glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_the_reference_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their calls are checked as runs; what only reads is executed."""
    started: list[Run] = []
    monkeypatch.setattr(lookahead, "run", lambda **fields: started.append(Run(**fields)))
    shown = blocks("python", page.read_text(encoding="utf-8"))
    for block in shown:
        exec(block, {})
    assert len(started) == sum("lookahead.run(" in block for block in shown)


def test_the_task_that_contributors_are_shown_is_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path))
    monkeypatch.setattr(Task, "known", dict(Task.known))
    (shown,) = (block for block in blocks("python", CONTRIBUTING) if "class Sort" in block)
    exec(shown, {"__name__": "sort"})
    task = Task.named("sort")(count=3)
    splits = {split: {tuple(row) for row in task.sample(split, torch.arange(500))[0].tolist()} for split in SPLITS}
    assert not splits["train"] & splits["test"]
    prompts, answers = task.sample("train", torch.arange(2))
    assert task.text(answers)[0] == ",".join(str(number) for number in sorted(prompts[0, :-1].tolist()))
    result = lookahead.run(task={"name": "sort", "count": 3}, steps=2)
    assert 0 <= result.measures["decision_accuracy"] <= 1


def test_the_results_it_shows_are_the_stored_ones(capsys: pytest.CaptureFixture[str]) -> None:
    shown = next(block for block in blocks("python") if "lookahead.stored(" in block)
    exec(shown, {})
    assert capsys.readouterr().out.strip() == shown.split("# ")[-1].strip()


def test_the_numbers_it_tells_are_those_of_the_results() -> None:
    """As the first page of the book has them from the chapters."""
    direction, waiting = stored("direction"), stored("waiting").where(model="tiny", optimizer="muon", num_nodes=10)
    forced, turned = (direction.where(objective=way) for way in ("teacher_forcing", "reversed"))
    waiting = waiting.where(path_length=(4, 5), train_examples=None)
    long, short = (waiting.where(objective=way) for way in ("teacher_forcing", "reversed"))
    four, five = (long.where(path_length=length) for length in (4, 5))
    assert len(five) == five.at_chance().sum()
    steps = forced[0].run.steps
    count = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    seen = stored("repeats").where(path_length=4, optimizer="muon", train_examples=20_000, repeated=1)
    seen += stored("waiting").where(train_examples=20_000)
    assert forced.at_chance().all()
    assert {result.run.steps for result in long} == {100 * steps}
    assert min(100 * steps / result.step_of_success for result in short) == 100  # a hundred times sooner
    assert len(short) == 10
    several = stored("several-tokens").where(tokens=4)
    text = " ".join(README.split())
    for told in (
        f"each of {len(forced)} seeds, after {steps} training steps",
        f"in about {several.time.median:,.0f} training steps",
        f"{several.won} of {len(several)} seeds succeed)",
        f"it needs about {turned.time.median:.0f} ({turned.won} of {len(turned)} seeds succeed within "
        f"{turned[0].run.steps})",
        f"{count[four.left_chance().sum()]} of {count[len(four)]} networks gets better than a coin, late and slowly; "
        f"the other one, and all {count[five.at_chance().sum()]} on longer arms, still flip it after {100 * steps:,}",
        f"Of {count[len(seen)]} networks that see the same 20,000 graphs over and over, "
        f"{count[seen.left_chance().sum()]} learn to choose",
        f"the other {count[(~seen.left_chance()).sum()]} learn their graphs by heart",
    ):
        assert told in text


def test_the_tasks_it_lists_are_the_registered_ones() -> None:
    """With how often their cheats are right; those that need a file or a tokenizer are shown elsewhere."""
    listed = dict(re.findall(r'^\| `"(.+?)"` \|.*\| ([\d.]+) \|$', README, re.MULTILINE))
    tasks = {preset: Run(task=preset).build_task() for preset in listed}
    assert {preset: f"{task.chance_accuracy:.3f}" for preset, task in tasks.items()} == listed
    with_presets = {name for name, kind in of_the_library(Task).items() if kind.presets}
    assert {task.name for task in tasks.values()} == with_presets


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_what_it_tells_of_the_cheat_meter_is_what_was_audited() -> None:
    """Of data sets of known truth, at 10,000 examples."""
    given = {(one["data"], one["size"]): one["verdict"]["answer"] for one in report("audits")["audits"]}
    said = {data: answer for (data, size), answer in given.items() if size == 10_000}
    invite = {name for name in said if DATA_SETS[name].verdict == "yes"}
    assert said.keys() == DATA_SETS.keys()
    assert len(said) == 9
    assert (len(invite), [name for name, answer in said.items() if answer == "yes"]) == (3, ["path-star"])
    assert {said[name] for name in invite - {"path-star"}} == {"cannot tell"}
    assert all(answer != "yes" for (data, _), answer in given.items() if data not in invite)
    assert min(size for (data, size), answer in given.items() if (data, answer) == ("path-star", "yes")) == 3_000
    text = " ".join(README.split())
    for told in ("on nine data sets of 10,000 examples", "There was no false alarm", "from 3,000 examples on"):
        assert told in text
