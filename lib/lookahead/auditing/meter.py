"""One call: readers trained, the decision looked for, the verdict."""

from __future__ import annotations

from collections.abc import Callable
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
from lookahead.auditing.readers import Backwards, Held, Reader, Way, followed, train_reader, without_prompt
from lookahead.auditing.report import Audit
from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import proportion
from lookahead.kinds import Count, fit
from lookahead.tasks import OwnData
from lookahead.tasks.own_data.reading import read_table

FEWEST_PROMPTS = 500
"""Different prompts to train on, below which nothing can be told."""
TEST_EXAMPLES = 1000
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
    answer_field: str = "answer",
    *,
    tokenizer: str = "characters",
    longest: int = 1024,
    skip_bad: int = 0,
    test_file: str | Path | None = None,
    half_hidden: bool = False,
    steps: int = 2000,
    seed: int = 0,
    keep: str | Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Says whether next-token training on a file of prompts and answers invites the cheat.

    Four small networks learn the same examples, each until its held-out loss stops falling: token by token with a
    teacher; all at once from the prompt alone; with a teacher and the answers reversed; with a teacher and several
    tokens at once. A token that stays hard with the teacher, and makes those behind it easy, is where planning gets no
    supervision, if another order learns what it is.

    Args:
        file, prompt_field, answer_field, tokenizer, longest, skip_bad: as of `OwnData`.
        test_file: examples to measure on, with the same fields, in place of a tenth of the file's; those whose prompts
            are trained on are left out, and counted.
        half_hidden: whether a fifth network learns with every second of the teacher's tokens hidden, at random: for the
            picture, where it lies between the other two. The verdict does not look at it.
        steps: most training steps of each network.
        seed: of the networks.
        keep: a folder that keeps each network when it is trained, so that the same call, interrupted, goes on there.
        log: is told how far it is.

    Raises:
        LookaheadError: as `OwnData`.
    """
    steps, keep = fit("steps", steps, Count), None if keep is None else Path(keep).expanduser()
    options: dict[str, Any] = {
        "file": str(file), "prompt_field": prompt_field, "answer_field": answer_field, "tokenizer": tokenizer,
        "longest": longest, "skip_bad": skip_bad, "seed": seed,
    }  # fmt: skip
    task = OwnData(**options)
    facts = read_table(str(file), prompt_field, answer_field, tokenizer, longest, skip_bad, task.checksum).facts
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
    readers = {way.name: train_reader(way, held, steps, seed, log, keep) for way in ways}
    teacher, half = readers[WITH_TEACHER], readers.get(HALF)
    found = places(
        without_prompt(task, held), readers[ALONE].losses, teacher.losses, None if half is None else half.losses
    )
    decision = find_decision(found)
    follows = None
    if decision is not None:
        led, tried = followed(teacher.predict, held, decision, task.taught(held.answers), task.end)
        follows = proportion(led / tried, tried) if tried >= FEWEST else None
    orders = [_order(reader, teacher, decision) for name, reader in readers.items() if name != HALF]
    return replace(
        begun,
        verdict=judge(found, decision, follows, orders),
        examples=len(held),
        places=found,
        decision=decision,
        follows=follows,
        orders=orders,
        seconds=sum(reader.seconds for reader in readers.values()),
    )


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
    seen = {bytes(row) for row in prompts.numpy()}
    trained = set()
    for rows in task.table.split_rows("train", prompts.device).split(4096):
        trained |= seen & {bytes(row) for row in task.padded(rows.long())[0].numpy()}
    fresh = torch.tensor([bytes(row) not in trained for row in prompts.numpy()])
    if not fresh.any():
        raise LookaheadError(f"{file}: all its {len(fresh)} prompts are among those that {task.file} gives to train on")
    chosen: Tensor = fresh.nonzero()[:TEST_EXAMPLES, 0]
    return Held(prompts[chosen], answers[chosen]), int((~fresh).sum())


def _order(reader: Reader, teacher: Reader, decision: int | None) -> Order:
    """What a reader's order costs, beside the teacher's."""
    own = totals(reader.losses)
    cost = None if decision is None else mean(reader.losses[:, decision])
    return Order(reader.name, mean(own), mean(totals(teacher.losses) - own), cost, reader.steps, reader.finished)
