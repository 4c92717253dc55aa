"""The verdict, on losses that are known: what is a decision, and what is not."""

import json
import math

import pytest
import torch
from torch import Tensor

from lookahead.auditing.drawing import svg
from lookahead.auditing.findings import Order, find_decision, judge, mean, places, totals, unsettled
from lookahead.auditing.report import Audit
from lookahead.evaluation.statistics import Interval, proportion
from lookahead.tasks.own_data.table import Facts

N = 400
FOLLOWED = proportion(0.97, N)


def losses(*values: float, spread: float = 0.1) -> Tensor:
    """Losses of N examples around some means, [N, A]."""
    noise = torch.randn(N, len(values), generator=torch.Generator().manual_seed(0)) * spread
    return torch.tensor(values) + noise


NOTHING = losses(3.0, 3.0, 3.0, 3.0)
CHEAT = losses(0.0, 0.7, 0.02, 0.0)
"""As on a path-star: the start is told, the first step is a coin, the rest follows."""
BLIND = losses(0.0, 0.7, 0.7, 0.0)


def orders(teacher: Tensor, **others: Tensor) -> list[Order]:
    given = {"teacher": teacher, **others}
    return [
        Order(name, mean(totals(own)), mean(totals(teacher) - totals(own)), None, 100, True)
        for name, own in given.items()
    ]


def test_a_decision_is_hard_and_what_follows_is_free() -> None:
    found = places(NOTHING, BLIND, CHEAT)
    assert find_decision(found) == 1
    assert found[2].prefix_share == pytest.approx(0.68 / 3, abs=0.02)
    assert found[0].prompt_share == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("prompt", "teacher"),
    [
        (losses(0.0, 0.0, 0.0, 0.0), losses(0.0, 0.0, 0.0, 0.0)),  # copied
        (losses(3.0, 3.0, 3.0, 3.0), losses(3.0, 3.0, 3.0, 3.0)),  # noise
        (losses(0.7, 0.5, 0.5, 0.5), losses(0.7, 0.5, 0.5, 0.5)),  # hard everywhere
        (losses(0.0, 0.0, 0.0, 0.7), losses(0.0, 0.0, 0.0, 0.7)),  # nothing comes after
        (losses(0.0, 0.7, 0.0, 0.0), losses(0.0, 0.7, 0.0, 0.0)),  # the prompt alone tells what is behind
    ],
)
def test_no_decision(prompt: Tensor, teacher: Tensor) -> None:
    assert find_decision(places(NOTHING, prompt, teacher)) is None


def test_commas_do_not_make_what_follows_trivial() -> None:
    """A choice, four tokens that are the same in every answer, and a token that is as hard."""
    nothing, hard = losses(3.0, 0.0, 0.0, 0.0, 0.0, 3.0), losses(1.8, 0.0, 0.0, 0.0, 0.0, 1.6)
    found = places(nothing, hard, hard)
    assert find_decision(found) is None
    assert unsettled(found) == [0]
    assert find_decision(places(nothing, hard, losses(1.8, 0.0, 0.0, 0.0, 0.0, 0.02))) == 0


def test_too_few_examples_show_no_decision() -> None:
    some = (NOTHING[:30], BLIND[:30], CHEAT[:30])
    assert find_decision(places(*some)) is None


def test_yes_where_another_order_learns_it() -> None:
    found = places(NOTHING, BLIND, CHEAT)
    verdict = judge(found, 1, FOLLOWED, orders(CHEAT, reversed=losses(0.0, 0.02, 0.0, 0.0), several=CHEAT))
    assert verdict.answer == "yes"
    assert verdict.reasons[0] == "Yes: planning supervision is probably lost at token 1."
    assert verdict.remedies == ["reversed"]


def test_a_choice_that_no_order_learns_cannot_be_told() -> None:
    """Read backwards it is as dear: only at another place."""
    turned = losses(0.0, 0.02, 0.0, 0.7)
    verdict = judge(places(NOTHING, BLIND, CHEAT), 1, FOLLOWED, orders(CHEAT, reversed=turned))
    assert verdict.answer == "cannot tell"
    assert "the prompt does not tell it at all" in verdict.reasons[0]


@pytest.mark.parametrize("follows", [None, proportion(0.2, N)])
def test_a_wrong_token_that_is_not_followed_cannot_be_told(follows: Interval | None) -> None:
    remedy = orders(CHEAT, reversed=losses(0.0, 0.02, 0.0, 0.0))
    assert judge(places(NOTHING, BLIND, CHEAT), 1, follows, remedy).answer == "cannot tell"


def test_an_order_that_learns_it_is_named_even_where_nothing_can_be_told() -> None:
    found = places(NOTHING, BLIND, CHEAT)
    given = orders(CHEAT, reversed=losses(0.0, 0.0, 0.0, 0.0))
    verdict = judge(found, 1, proportion(0.02, N), given)
    assert verdict.answer == "cannot tell"
    assert any("costs less reversed by 0.7" in reason for reason in verdict.reasons)


def test_no_where_it_is_learnt_and_cannot_tell_where_it_is_not() -> None:
    copied, noise = losses(0.0, 0.0, 0.0, 0.0), losses(3.0, 3.0, 3.0, 3.0)
    assert judge(places(NOTHING, copied, copied), None, None, orders(copied)).answer == "no"
    assert judge(places(NOTHING, noise, noise), None, None, orders(noise)).answer == "cannot tell"


@pytest.mark.parametrize(
    ("prompt", "teacher", "still", "answer"),
    [
        (losses(0.0, 1.4, 1.4, 0.0), losses(0.0, 1.4, 1.3, 0.0), [1], "cannot tell"),  # too few path-stars
        (losses(0.7, 0.5, 0.5, 0.5), losses(0.7, 0.5, 0.5, 0.5), [0, 1, 2], "cannot tell"),  # noise in every token
        (losses(0.0, 0.0, 0.0, 0.7), losses(0.0, 0.0, 0.0, 0.7), [], "no"),  # nothing comes after it
        (losses(0.0, 0.7, 0.0, 0.0), losses(0.0, 0.7, 0.0, 0.0), [], "no"),  # the prompt alone tells what does
    ],
)
def test_no_is_not_said_while_tokens_are_open_that_may_become_a_decision(
    prompt: Tensor, teacher: Tensor, still: list[int], answer: str
) -> None:
    found = places(NOTHING, prompt, teacher)
    assert find_decision(found) is None
    assert unsettled(found) == still
    verdict = judge(found, None, None, orders(teacher))
    assert verdict.answer == answer
    assert ("more than 0.2 nats with the teacher" in verdict.reasons[0]) == bool(still)


def test_tokens_that_few_answers_have_count_by_their_number() -> None:
    teacher = CHEAT.clone()
    teacher[20:, 3] = torch.nan
    found = places(NOTHING, BLIND, teacher)
    assert [place.examples for place in found] == [N, N, N, 20]
    assert find_decision(found) == 1
    nothing = mean(torch.full((3,), torch.nan))
    assert math.isnan(nothing.value)


def test_the_report_in_three_forms() -> None:
    found = places(NOTHING, BLIND, CHEAT)
    read = orders(CHEAT, reversed=losses(0.0, 0.02, 0.0, 0.0))
    facts = Facts(4000, prompts={"train": 3200, "validation": 400, "test": N})
    audit = Audit("<data>.jsonl", facts, judge(found, 1, FOLLOWED, read), N, found, 1, FOLLOWED, read)
    assert audit.status == 4
    told = json.loads(audit.to_json())
    assert told["verdict"]["answer"] == "yes"
    assert told["decision"] == 1
    assert told["places"][1]["teacher"]["value"] == pytest.approx(0.7, abs=0.02)
    assert Audit.of(told) == audit
    page = audit.html()
    assert page.count("<svg") == 1
    assert "&lt;data&gt;" in page
    assert "<data>" not in page
    assert "1 <" in str(audit)
    assert svg(found, None).count("<rect") == 0
    assert svg(found, 1).count("<rect") == 1
