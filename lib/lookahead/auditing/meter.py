"""One call: readers trained, the decision looked for, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lookahead.auditing.findings import (
    FEWEST,
    Order,
    Verdict,
    find_decision,
    judge,
    mean,
    places,
    totals,
)
from lookahead.auditing.parts import Parted, Parts, fields, shares, tokens
from lookahead.auditing.readers import Backwards, Held, Reader, Way, followed, told_behind, train_reader, without_prompt
from lookahead.auditing.report import Audit, Shown
from lookahead.auditing.together import train_together
from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import proportion
from lookahead.kinds import Count, fit
from lookahead.tasks import OwnData
from lookahead.tasks.own_data.reading import read_table, refuse_one_answer
from lookahead.tasks.own_data.tokens import BETWEEN

FEWEST_PROMPTS = 500
"""Different prompts to train on, below which nothing can be told."""
TEST_EXAMPLES = 1000
SHOWN = 3
"""Of them so many are shown as text, with the decision marked."""
AHEAD = 4
"""Tokens that a reader predicts at once, where it predicts several."""
WITH_TEACHER, ALONE, REVERSED, SEVERAL, HALF = (
    "with a teacher",
    "all at once, no teacher",
    "reversed",
    "several tokens at once",
    "half of the teacher's tokens",
)


def audit(
    file: str | Path,
    prompt_field: str = "prompt",
    answer_field: str | Sequence[str] = "answer",
    *,
    parts: int | None = None,
    tokenizer: str = "characters",
    longest: int = 1024,
    skip_bad: int = 0,
    test_file: str | Path | None = None,
    half_hidden: bool = False,
    steps: int = 2000,
    seed: int = 0,
    jobs: int = 1,
    keep: str | Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Says whether next-token training on a file of prompts and answers invites the cheat.

    Four small networks learn the same examples, each until its held-out loss stops falling: token by token with a
    teacher; all at once from the prompt alone; with a teacher and the answers reversed; with a teacher and several
    tokens at once. A token that stays hard with the teacher, and makes those after it easy, is where planning gets no
    supervision, if another order learns what it is.

    Args:
        file, prompt_field, answer_field, tokenizer, longest, skip_bad: as of `OwnData`. Of an answer with several
            fields the report has a line for each field, not for each token.
        parts: so many equal shares of each answer are looked at in place of tokens: for answers of different length,
            where what is decided stands at about the same share of each.
        test_file: examples to measure on, with the same fields, in place of a tenth of the file's; those whose prompts
            are trained on are left out, and counted.
        half_hidden: whether a fifth network learns with every second of the teacher's tokens hidden, at random: for the
            picture, where it lies between the other two. The verdict does not look at it.
        steps: most training steps of each network.
        seed: of the networks.
        jobs: networks that are trained at once, each in a process of its own, with one thread. A script that asks for
            more than one needs `if __name__ == "__main__":`, as always with processes.
        keep: a folder that keeps each network when it is trained, so that the same call, interrupted, goes on there.
        log: is told how far it is.

    Raises:
        LookaheadError: as `OwnData`.
    """
    steps, keep = fit("steps", steps, Count), None if keep is None else Path(keep).expanduser()
    jobs, parts = fit("jobs", jobs, Count), fit("parts", parts, Parted)
    options: dict[str, Any] = {
        "file": str(file), "prompt_field": prompt_field, "answer_field": answer_field, "tokenizer": tokenizer,
        "longest": longest, "skip_bad": skip_bad, "seed": seed,
    }  # fmt: skip
    task = OwnData(**options)
    facts = read_table(str(file), prompt_field, task.answer_fields, tokenizer, longest, skip_bad, task.checksum).facts
    refuse_one_answer(facts, file)
    held, left_out = None, 0
    if test_file is not None:
        held, left_out = own_examples(task, test_file)
    count = facts.prompts["test"] if held is None else len(held)
    begun = Audit(
        str(file), facts, few_prompts(facts.prompts["train"], count), 0, [], None, None, [],
        test_file=None if test_file is None else str(test_file), left_out=left_out,
    )  # fmt: skip
    if facts.prompts["train"] < FEWEST_PROMPTS or count < FEWEST:
        return begun
    if held is None:
        held = Held(*task.sample("test", torch.arange(min(TEST_EXAMPLES, len(task.table.parts["test"])))))
    ways = [
        Way(WITH_TEACHER, {"name": "teacher_forcing"}, task),
        Way(ALONE, {"name": "teacherless"}, task),
        Way(REVERSED, {"name": "teacher_forcing"}, Backwards(**options)),
        Way(SEVERAL, {"name": "multi_token", "tokens": min(AHEAD, task.answer_length)}, task),
    ]
    if half_hidden:
        ways.append(Way(HALF, {"name": "corrupted", "how": "mask", "rate": 0.5}, task))
    with train_together(ways, steps, seed, keep, jobs, log) as folder:
        told = log if folder == keep else lambda line: None
        readers = {way.name: train_reader(way, held, steps, seed, told, folder) for way in ways}
    cut = parts_of(task, held, parts)
    teacher, half = readers[WITH_TEACHER], readers.get(HALF)
    found = places(
        *(cut.sums(one) for one in (without_prompt(task, held), readers[ALONE].losses, teacher.losses)),
        half=None if half is None else cut.sums(half.losses),
    )
    decision = find_decision(found)
    follows, shown = None, []
    if decision is not None:
        at = cut.dearest(teacher.losses, decision)
        ahead = told_behind(at, readers[ALONE].losses, teacher.losses)
        led, tried = followed(teacher.predict, held, at, task.taught(held.answers), task.end, ahead)
        follows = proportion(led / tried, tried) if tried >= FEWEST else None
        shown = [_shown(task, held, row, int(at[row])) for row in range(SHOWN)]
    orders = [_order(reader, teacher, decision, cut) for name, reader in readers.items() if name != HALF]
    return replace(
        begun,
        verdict=judge(found, decision, follows, orders, cut.units),
        examples=len(held),
        places=found,
        decision=decision,
        follows=follows,
        orders=orders,
        seconds=sum(reader.seconds for reader in readers.values()),
        units=cut.units,
        shown=shown,
    )


def parts_of(task: OwnData, held: Held, count: int | None) -> Parts:
    """The tokens of test answers; so many equal shares of each; or the fields, where they have several."""
    mask = task.taught(held.answers)
    mask = torch.ones_like(held.answers, dtype=torch.bool) if mask is None else mask
    if count is not None:
        return shares(mask, count)
    if len(task.answer_fields) == 1:
        return tokens(mask)
    return fields(mask, held.answers == task.vocabulary.index(BETWEEN), list(task.answer_fields))


def _shown(task: OwnData, held: Held, row: int, at: int) -> Shown:
    """A test example as text, cut at a token of its answer."""
    answer = held.answers[row]
    pieces = answer[:at], answer[at : at + 1], answer[at + 1 :]
    prompt, before, token, behind = (task.text(piece[None])[0] for piece in (held.prompts[row], *pieces))
    return Shown(prompt, before, token, behind)


def few_prompts(train: int, test: int) -> Verdict:
    """The verdict on too few examples."""
    few = (
        f"Cannot tell: {train} different prompts to train on, and {test} to test on, are too few; it takes "
        f"{FEWEST_PROMPTS} and {FEWEST}."
    )
    return Verdict("cannot tell", [few], [])


def own_examples(task: OwnData, file: str | Path) -> tuple[Held, int]:
    """The examples of a test file whose prompts the task does not train on, at most TEST_EXAMPLES; how many it does.

    Raises:
        LookaheadError: what is wrong with the file, or all its prompts are trained on.
    """
    prompts, answers = task.read_examples(file)
    fresh = ~task.trained_on(prompts, answers)
    if not fresh.any():
        raise LookaheadError(f"{file}: all its {len(fresh)} prompts are among those that {task.file} gives to train on")
    chosen: Tensor = fresh.nonzero()[:TEST_EXAMPLES, 0]
    return Held(prompts[chosen], answers[chosen]), int((~fresh).sum())


def _order(reader: Reader, teacher: Reader, decision: int | None, cut: Parts) -> Order:
    """What a reader's order costs, beside the teacher's."""
    own = totals(reader.losses)
    cost = None if decision is None else mean(cut.sums(reader.losses)[:, decision])
    return Order(reader.name, mean(own), mean(totals(teacher.losses) - own), cost, reader.steps, reader.finished)
