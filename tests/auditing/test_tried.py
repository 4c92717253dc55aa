"""What was audited beforehand: the verdicts are those of today's rules, and the data those of today's generators."""

import json
from pathlib import Path

import pytest

from lookahead.auditing.findings import FEWEST, find_decision, judge
from lookahead.auditing.known_truth import DATA_SETS, write
from lookahead.auditing.meter import FEWEST_PROMPTS
from lookahead.auditing.report import Audit
from lookahead.chapter.benchmarks import report
from lookahead.tasks import OwnData

REPORT = report("audits")
CASES = {f"{one['data']} {one['size']}": one for one in REPORT["audits"]}


@pytest.mark.parametrize("case", CASES)
def test_a_verdict_is_what_the_rules_make_of_the_losses(case: str) -> None:
    audit = Audit.of(CASES[case])
    assert audit.facts.prompts["train"] >= FEWEST_PROMPTS
    assert audit.facts.prompts["test"] >= FEWEST
    assert find_decision(audit.places) == audit.decision
    assert judge(audit.places, audit.decision, audit.follows, audit.orders) == audit.verdict
    again = json.loads(audit.to_json())
    assert {name: again[name] for name in again if name in CASES[case]} == {
        name: value for name, value in CASES[case].items() if name not in ("data", "size")
    }


@pytest.mark.filterwarnings("ignore:.*(more than one answer|repeat one before them)")
def test_they_were_made_on_todays_data(tmp_path: Path) -> None:
    """Of each data set the smallest file that was audited."""
    smallest = {one["data"]: one for one in sorted(CASES.values(), key=lambda one: -one["size"])}
    for name, one in smallest.items():
        file = write(name, tmp_path / f"{name}.jsonl", one["size"])
        assert OwnData(str(file), tokenizer=DATA_SETS[name].tokenizer).facts == Audit.of(one).facts
