"""A causal language model from a folder, judged as it is: what each answer token costs it with and without a prefix."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.auditing.findings import FEWEST, Order, Units, Verdict, find_decision, judge, mean, places, totals
from lookahead.auditing.meter import SHOWN, TEST_EXAMPLES, WITH_TEACHER
from lookahead.auditing.parts import NOWHERE, Parted, Parts, shares, tokens
from lookahead.auditing.readers import Held, followed, told_behind
from lookahead.auditing.report import Audit, Shown
from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import proportion
from lookahead.kinds import Count, fit
from lookahead.machine import device_of, resolve_device
from lookahead.tasks.own_data.reading import each_example
from lookahead.tasks.own_data.records import Malformed
from lookahead.tasks.own_data.table import Facts
from lookahead.tasks.own_data.tokens import BETWEEN

ROWS = 4
"""Examples that are read at once: the logits of a large vocabulary take room."""
NOTHING = -1
"""Fills up rows of tokens; no token's id."""
Sees = Literal["all", "last", "prompt"]
"""Which of the answer tokens before it a prediction sees: all, the last one, none."""


def audit_checkpoint(
    folder: str | Path,
    file: str | Path,
    prompt_field: str = "prompt",
    answer_field: str | Sequence[str] = "answer",
    *,
    parts: int | None = None,
    separator: str = "\n",
    skip_bad: int = 0,
    examples: int = TEST_EXAMPLES,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> Audit:
    """What each answer token costs a trained language model, and what of that its own earlier tokens explain.

    Nothing is trained. The model reads prompt, separator and answer, and each answer token is predicted three times:
    from the prompt and all true tokens before; from the prompt and the last true token, the attention to those before
    it off; from the prompt alone, the separator's last token in the place of each answer token and no attention
    between them. A model was hardly ever trained to skip tokens, so what the prompt alone costs is at most that.

    No other order can be asked of a trained model. So the verdict may be *no*; where a token looks like a decision it
    is *cannot tell*, and `audit` says whether another order learns it.

    Args:
        folder: as `save_pretrained` of transformers leaves it, with a `tokenizer.json`. Nothing is downloaded.
        file, prompt_field, answer_field, parts, skip_bad: as of `audit`. Between the fields of an answer that has
            several stands a new line, which counts to the later one.
        separator: text between prompt and answer, as the model knows it.
        examples: at most so many, chosen at random.
        device: "auto", "cpu" or "cuda".
        log: is told how far it is.

    Raises:
        LookaheadError: transformers is missing; no such model; a malformed line; an example that is longer than the
            model reads; a model whose attention cannot be masked.
    """
    model = Checkpoint(folder, device)
    examples = fit("examples", examples, Count)
    names = [answer_field] if isinstance(answer_field, str) else list(answer_field)
    parts = fit("parts", parts, Parted)
    pairs, facts = _read(model, file, (prompt_field, *names), separator, skip_bad, examples)
    if len(pairs) < FEWEST:
        few = Verdict("cannot tell", [f"Cannot tell: {len(pairs)} examples are too few; it takes {FEWEST}."], [])
        return Audit(str(file), facts, few, len(pairs), [], None, None, [], model=str(folder))
    prompts, answers = [prompt for prompt, _ in pairs], [list(chain(*answer)) for _, answer in pairs]
    held = Held(padded(prompts), padded(answers, at_end=True))
    mask = held.answers != NOTHING
    if parts is not None:
        cut = shares(mask, parts)
    elif len(names) == 1:
        cut = tokens(mask)
    else:
        of = [[number for number, ids in enumerate(answer) for _ in ids] for _, answer in pairs]
        cut = Parts(Units("field", names), padded(of, at_end=True).where(mask, NOWHERE))
    model.check_masking(held)
    losses = {}
    for sees in ("all", "last", "prompt"):
        log(f"{folder}: sees {sees} of the answer before a token")
        losses[sees] = model.losses(held, sees)
    nothing = cut.sums(_by_count(held.answers))
    found = places(nothing, cut.sums(losses["prompt"]), cut.sums(losses["all"]), last=cut.sums(losses["last"]))
    decision = find_decision(found)
    follows, shown = None, []
    if decision is not None:
        at = cut.dearest(losses["all"], decision)
        ahead = told_behind(at, losses["prompt"], losses["all"])
        led, tried = followed(model.predict, held, at, mask, ahead=ahead)
        follows = proportion(led / tried, tried) if tried >= FEWEST else None
        for row in range(SHOWN):
            answer, place = answers[row], int(at[row])
            pieces = prompts[row], answer[:place], answer[place : place + 1], answer[place + 1 :]
            shown.append(Shown(*map(model.text, pieces)))
    whole = totals(losses["all"])
    cost = None if decision is None else mean(cut.sums(losses["all"])[:, decision])
    orders = [Order(WITH_TEACHER, mean(whole), mean(torch.zeros_like(whole)), cost, 0, True)]
    verdict = judge(found, decision, follows, orders, cut.units)
    return Audit(
        str(file), facts, verdict, len(answers), found, decision, follows, orders,
        model=str(folder), units=cut.units, shown=shown,
    )  # fmt: skip


def _read(
    model: Checkpoint, file: str | Path, fields: tuple[str, ...], separator: str, skip_bad: int, count: int
) -> tuple[list[tuple[list[int], list[list[int]]]], Facts]:
    """At most so many examples, chosen at random (reservoir sampling; Vitter, 1985), and the file's facts.

    Returns:
        the tokens of each prompt and of each field of its answer; the facts.
    """
    chosen: list[tuple[list[int], list[list[int]]]] = []
    drawn, seen = random.Random(0), 0

    def take(prompt: Sequence[str], answer: Sequence[str]) -> None:
        nonlocal seen
        place = drawn.randrange(seen + 1)
        if seen < count or place < count:
            texts = [""]
            for character in answer:
                if character == BETWEEN:
                    texts.append("\n")
                else:
                    texts[-1] += character
            pair = model.cut("".join(prompt) + separator, marks=True), [model.cut(text) for text in texts]
            length = len(pair[0]) + sum(map(len, pair[1]))
            if model.longest is not None and length > model.longest:
                raise Malformed(f"prompt and answer have {length} tokens; the model reads {model.longest}")
            if seen < count:
                chosen.append(pair)
            else:
                chosen[place] = pair
        seen += 1

    skipped, first = each_example(file, fields, "characters", sys.maxsize, skip_bad, take)
    if not chosen:
        raise LookaheadError(f"{file}: no examples in it")
    return chosen, Facts(seen, skipped, first, prompts={"test": len({tuple(prompt) for prompt, _ in chosen})})


class Checkpoint:
    """A causal language model and its tokenizer, from a folder.

    Raises:
        LookaheadError: transformers is missing, or there is no such model in the folder.
    """

    def __init__(self, folder: str | Path, device: str = "auto") -> None:
        path = Path(folder).expanduser()
        if not (path / "config.json").is_file() or not (path / "tokenizer.json").is_file():
            raise LookaheadError(
                f"{folder} holds no model: a folder is wanted with a config.json, a tokenizer.json and weights, as "
                "save_pretrained of transformers leaves it"
            )
        try:
            import tokenizers  # pyright: ignore[reportMissingImports]
            import transformers  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise LookaheadError(
                f"a checkpoint needs the package transformers: pip install transformers ({error})"
            ) from error
        try:
            self.tokenizer: Any = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
            self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                str(path), local_files_only=True, attn_implementation="eager", dtype=torch.float32
            )
        except Exception as error:  # the packages raise many kinds
            raise LookaheadError(f"{folder} cannot be read as a causal language model ({error})") from error
        self.model.train(False).to(resolve_device(device))
        self.folder = str(folder)
        self.longest: int | None = getattr(self.model.config, "max_position_embeddings", None)

    def cut(self, text: str, marks: bool = False) -> list[int]:
        """The ids of a text.

        Args:
            marks: with what the tokenizer puts around a text, such as a mark for its beginning.
        """
        return self.tokenizer.encode(text, add_special_tokens=marks).ids

    def text(self, ids: list[int]) -> str:
        """The text of some ids, marks included."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def check_masking(self, held: Held) -> None:
        """Refuses a model that sees what its attention is kept from.

        Raises:
            LookaheadError: it does, or it takes no mask.
        """
        some = Held(held.prompts[:ROWS], held.answers[:ROWS])
        changed = some.answers.roll(1, dims=0)
        changed = torch.where((some.answers == NOTHING) | (changed == NOTHING), some.answers, changed)
        for column in range(some.answers.shape[1] - 2):
            other = some.answers.clone()
            other[:, column] = changed[:, column]
            if (other != some.answers).any():
                before, after = (self.losses(Held(some.prompts, answers), "last") for answers in (some.answers, other))
                if not torch.allclose(before[:, column + 2 :], after[:, column + 2 :], atol=1e-3, equal_nan=True):
                    raise LookaheadError(
                        f"the attention of {self.folder} cannot be masked: it has other ways to look back"
                    )
                return

    @torch.no_grad()
    def losses(self, held: Held, sees: Sees = "all") -> Tensor:
        """The loss of every answer token in nats, [N, A]; NaN where there is none."""
        found = []
        for logits, answers in self._logits(held, sees):
            there = answers != NOTHING
            costs = F.cross_entropy(logits.flatten(0, 1), answers.where(there, 0).flatten(), reduction="none")
            found.append(torch.where(there, costs.view_as(answers), torch.nan))
        return torch.cat(found)

    @torch.no_grad()
    def predict(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """What it says at every token of the answers, given those before it, [N, A]."""
        return torch.cat([logits.argmax(dim=-1) for logits, _ in self._logits(Held(prompts, answers), "all")])

    def _logits(self, held: Held, sees: Sees) -> Any:
        """Logits [B, A, V] and answers [B, A], some examples at a time, on the CPU."""
        device = device_of(self.model)
        for prompts, answers in zip(held.prompts.split(ROWS), held.answers.split(ROWS), strict=True):
            tokens, mask, positions = layout(prompts, answers, sees)
            try:
                logits = self.model(
                    input_ids=tokens.to(device),
                    attention_mask=torch.zeros(mask.shape)
                    .masked_fill(~mask, torch.finfo(torch.float32).min)
                    .to(device),
                    position_ids=positions.to(device),
                    use_cache=False,
                ).logits
            except (TypeError, ValueError, RuntimeError) as error:
                raise LookaheadError(f"{self.folder} takes no mask for its attention ({error})") from error
            yield logits[:, prompts.shape[1] - 1 :].float().cpu(), answers


def layout(prompts: Tensor, answers: Tensor, sees: Sees) -> tuple[Tensor, Tensor, Tensor]:
    """What a model reads so that each answer token is predicted from what `sees` says.

    Args:
        prompts: [B, P], filled up with NOTHING at the front.
        answers: [B, A], filled up with NOTHING at the end.

    Returns:
        tokens [B, T] with T = P + A - 1, which row may see which column [B, 1, T, T], and positions [B, T].
    """
    given = answers[:, :-1]
    if sees == "prompt":
        given = prompts[:, -1:].expand_as(given)
    tokens = torch.cat([prompts, given], dim=1)
    size, first = tokens.shape[1], prompts.shape[1]
    places = torch.arange(size)
    there = torch.cat([prompts != NOTHING, torch.ones_like(given, dtype=torch.bool)], dim=1)
    sight = places <= places[:, None]
    if sees != "all":
        sight = sight & (places < first)
    itself = torch.eye(size, dtype=torch.bool)  # what fills up sees itself alone, and nobody else sees it
    mask = (sight & there[:, None]) | itself
    positions = (there.cumsum(dim=1) - 1).clamp(min=0)
    return tokens.clamp(min=0), mask[:, None], positions


def padded(rows: Sequence[Sequence[int]], at_end: bool = False) -> Tensor:
    """Rows of tokens of different length as [N, longest], filled up with NOTHING at the front or at the end."""
    width = max(map(len, rows))
    filled = [
        [*row, *[NOTHING] * (width - len(row))] if at_end else [*[NOTHING] * (width - len(row)), *row] for row in rows
    ]
    return torch.tensor(filled)


def _by_count(answers: Tensor) -> Tensor:
    """What the tokens cost who knows how often each stands at its place in the other examples, [N, A]."""
    found = torch.full(answers.shape, torch.nan)
    for place, column in enumerate(answers.T):
        there = column != NOTHING
        _, kinds, counts = column[there].unique(return_inverse=True, return_counts=True)
        others = counts[kinds] - 1
        found[there, place] = -((others + 0.5) / (len(kinds) - 1 + 0.5 * len(counts))).log()
    return found
