"""Small networks that read the same examples in different ways, and what each answer token costs them."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lookahead.objectives  # noqa: F401 (registers what it holds)
from lookahead.auditing.findings import NEXT, OPEN
from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.models import Transformer
from lookahead.runs.run import taught_on
from lookahead.runs.staleness import stamp_of
from lookahead.tasks import OwnData
from lookahead.training.checkpoints import load, load_state, save, state_tensors
from lookahead.training.settings import Settings
from lookahead.training.step import Step

MODEL = {"layers": 3, "width": 64, "heads": 4}
BATCH, LONG, FEWEST_PER_STEP = 64, 64, 8
"""Examples per training step; tokens of an example from which on they are fewer; and how few at least."""
LEARNING: dict[str, Any] = {"optimizer": "muon", "learning_rate": 1e-3}
"""With AdamW the small readers wait long on a plateau before they learn a look-up."""
EVERY = 100
"""Training steps between two looks at the held-out loss."""
PATIENCE = 6
"""So many looks without a gain end a training."""
GAIN = 0.01
"""The share of the held-out loss that counts as a gain."""
VALIDATION_EXAMPLES = 512
ROWS = 256


class Backwards(OwnData):
    """The same examples, each answer from its last token to its first; `<end>` stays at the end."""

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        prompts, answers = super().at(rows)
        return prompts, self.turned(answers, answers)

    def turned(self, values: Tensor, answers: Tensor) -> Tensor:
        """What belongs to the tokens of answers [B, A], in the other order; done twice it is as before."""
        mask = self.taught(answers)
        if mask is None:
            return values.flip(1)
        places = torch.arange(values.shape[1], device=values.device)
        last = mask.sum(dim=1, keepdim=True) - 2  # of the tokens before `<end>`
        return values.gather(1, torch.where(places <= last, last - places, places))


@dataclass(frozen=True)
class Held:
    """Held-out examples, in the order of the file."""

    prompts: Tensor
    """[N, P]."""
    answers: Tensor
    """[N, A]."""

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True)
class Way:
    """A way to read the examples."""

    name: str
    method: dict[str, Any]
    """An objective, by its name, with its options."""
    task: OwnData
    """The examples; `Backwards` for answers in the other order."""


@dataclass(frozen=True)
class Reader:
    """A network that was trained on the examples in one way."""

    name: str
    objective: Objective
    task: Task
    steps: int
    """After so many training steps its held-out loss was the lowest; these are its weights."""
    finished: bool
    """Whether its held-out loss had stopped falling when the training ended."""
    seconds: float
    """Processor time of the training."""
    losses: Tensor
    """Of every token of the test examples, in the order of the file, in nats, [N, A]; NaN where there is no token."""

    def predict(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """What it says at every token, given those before it, [N, A]; in the order of its task."""
        return self.objective(prompts, answers).predictions


def train_reader(
    way: Way, held: Held, steps: int, seed: int, log: Callable[[str], None], keep: Path | None = None
) -> Reader:
    """Trains a reader until its held-out loss stops falling, and measures it on test examples.

    Args:
        way: how it reads.
        held: what it is measured on.
        steps: most training steps.
        seed: of its weights, and of the order of the examples.
        log: is told how far it is.
        keep: a folder that keeps it, and gives it back when it is asked for again.
    """
    objective, found = trained_network(way, steps, seed, log, keep)
    losses = token_losses(objective, way.task, held.prompts, turned(way.task, held.answers, held.answers))
    return Reader(way.name, objective, way.task, **found, losses=losses)


def trained_network(
    way: Way, steps: int, seed: int, log: Callable[[str], None], keep: Path | None
) -> tuple[Objective, dict[str, Any]]:
    """The network of `train_reader`, and what is told of its training: steps, finished, seconds."""
    objective = build(way.method, way.task, seed)
    file = None if keep is None else keep / f"{_key(way, objective, steps, seed)}.safetensors"
    found = None if file is None else _read(file, objective)
    if found is not None:
        log(f"{way.name}: trained before")
        return objective, found
    begun = time.process_time()
    done, finished = _train(way, objective, steps, seed, log)
    found = {"steps": done, "finished": finished, "seconds": round(time.process_time() - begun, 1)}
    if file is not None:
        save(file, state_tensors(objective), found)
    return objective, found


def examples_per_step(task: Task) -> int:
    """BATCH, and fewer of long examples, so that a training step of them costs no more than one of LONG tokens."""
    return max(FEWEST_PER_STEP, min(BATCH, BATCH * LONG // (task.prompt_length + task.answer_length)))


def _train(way: Way, objective: Objective, steps: int, seed: int, log: Callable[[str], None]) -> tuple[int, bool]:
    """Trains an objective in place; gives the steps behind its weights, and whether its loss had stopped falling."""
    settings = Settings(steps=steps, batch_size=examples_per_step(way.task), **LEARNING)
    step = Step(objective, way.task, settings, seed, engine="eager")
    looked_at = torch.arange(min(VALIDATION_EXAMPLES, int(way.task.facts.prompts["validation"])))
    prompts, answers = way.task.sample("validation", looked_at)
    best, best_at, best_state, gained_at, done = float("inf"), 0, None, 0, 0
    for done in range(1, steps + 1):
        step(done - 1)
        if done % EVERY and done != steps:
            continue
        loss = token_losses(objective, way.task, prompts, answers).nanmean().item()
        log(f"{way.name}: {done} steps, held-out loss {loss:.3f}")
        if loss < best * (1 - GAIN):
            gained_at = done
        if loss < best:
            best, best_at, best_state = loss, done, copy.deepcopy(objective.state_dict())
        if done - gained_at >= PATIENCE * EVERY or best < GAIN:
            break
    if best_state is not None:
        objective.load_state_dict(best_state)
    return best_at, best < GAIN or done - gained_at >= PATIENCE * EVERY


def _key(way: Way, objective: Objective, steps: int, seed: int) -> str:
    """What tells a trained reader from others: its data, how it was trained, and the code that did it."""
    task = way.task
    first = torch.arange(min(ROWS, len(task.table.parts["train"])))
    settings = [task.checksum, task.vocabulary, way.method, MODEL, examples_per_step(task), LEARNING, EVERY]
    settings += [PATIENCE, GAIN]
    settings += [
        VALIDATION_EXAMPLES,
        steps,
        seed,
        torch.__version__,
        [part.tolist() for part in task.sample("train", first)],
    ]
    modules = [type(part).__module__ for part in (objective, objective.model)] + [Step.__module__]
    return hashlib.sha256(f"{json.dumps(settings)} {stamp_of(modules)}".encode()).hexdigest()[:24]


def _read(file: Path, objective: Objective) -> dict[str, Any] | None:
    """Gives an objective the weights that were kept, and what was kept of their training; None where nothing was."""
    if not file.exists():
        return None
    try:
        tensors, record = load(file)
        load_state(objective, tensors)
    except LookaheadError:  # damaged: it is trained again
        return None
    return record


def turned(task: OwnData, values: Tensor, answers: Tensor) -> Tensor:
    """What belongs to the tokens of a file's answers [B, A], in the order in which a task gives them; or back."""
    return task.turned(values, answers) if isinstance(task, Backwards) else values


def build(method: dict[str, Any], task: Task, seed: int) -> Objective:
    """An objective with a fresh network for a task, the same on every machine."""
    return taught_on(task, {"name": Transformer.name, **MODEL}, method, seed)


@torch.no_grad()
def token_losses(objective: Objective, task: OwnData, prompts: Tensor, answers: Tensor) -> Tensor:
    """The loss of every answer token, in the order of the file, [N, A]; NaN where there is none.

    Args:
        answers: in the order of the task.
    """
    found = []
    for rows in torch.arange(len(answers)).split(ROWS):
        noise = objective.noise(("auditing",), rows)
        found.append(turned(task, objective(prompts[rows], answers[rows], noise).tokens, answers[rows]))
    return torch.cat(found)


def without_prompt(task: OwnData, held: Held, seen: int = 20_000) -> Tensor:
    """What the tokens of test examples cost who knows only how often each stands at its place, [N, A]; NaN likewise."""
    _, taught = task.sample("train", torch.arange(min(seen, len(task.table.parts["train"]))))
    mask = task.taught(taught)
    counts = torch.zeros(task.answer_length, task.labels).double()
    weights = torch.ones_like(taught) if mask is None else mask.long()
    counts.scatter_add_(1, taught.T, weights.T.double())
    logs = ((counts + 0.5) / (counts + 0.5).sum(dim=1, keepdim=True)).log()
    losses = -logs.gather(1, held.answers.T).T.float()
    mask = task.taught(held.answers)
    return losses if mask is None else torch.where(mask, losses, torch.nan)


@torch.no_grad()
def told_behind(places: Tensor, prompt: Tensor, teacher: Tensor) -> int:
    """How far after some tokens the first one is that they give: open from the prompt alone, and not with the teacher.

    Between the two may be tokens that are the same in all answers, such as a comma; no reader would change them.

    Args:
        places: the index of an answer token in each example, [N].
        prompt, teacher: what each token costs from the prompt alone and with the teacher, [N, A].

    Returns:
        1 for the next token, which it also is if there is none.
    """
    gains = prompt - teacher
    for ahead in range(1, NEXT + 1):
        there = places + ahead < gains.shape[1]
        at = gains.gather(1, (places + ahead).clamp(max=gains.shape[1] - 1)[:, None])[:, 0]
        found = at[there & ~at.isnan()]
        if len(found) and found.mean() > OPEN / 2:
            return ahead
    return 1


def followed(
    predict: Callable[[Tensor, Tensor], Tensor],
    held: Held,
    places: Tensor,
    mask: Tensor | None,
    end: int | None = None,
    ahead: int = 1,
) -> tuple[int, int]:
    """The wrong-prefix test: how often a reader that is put on another token goes on from that one.

    The token at its place is exchanged for one that stands at its own place in another example: one that occurs in the
    prompt if there is any. The reader follows it if what it says `ahead` tokens later is then not what is right after
    the true token.

    Args:
        predict: prompts and answers to what the reader says at every token, [N, A].
        held: the examples.
        places: the index of an answer token in each example, [N].
        mask: which answer tokens are there, [N, A]; all if None.
        end: a token that is never taken for another, as it ends an answer.
        ahead: of `told_behind`.

    Returns:
        how many followed, of how many: those that were right about that later token after the true one.
    """
    prompts, answers = held.prompts, held.answers
    there = torch.ones_like(answers, dtype=torch.bool) if mask is None else mask

    def at(values: Tensor, offset: int = 0) -> Tensor:
        return values.gather(1, (places[:, None] + offset).clamp(max=values.shape[1] - 1))[:, 0]

    before, true, taught = predict(prompts, answers), at(answers), at(there)
    shifts = range(1, min(64, len(held)))
    others = torch.stack([true.roll(shift) for shift in shifts], dim=1)  # [N, K]
    usable = torch.stack([taught.roll(shift) for shift in shifts], dim=1) & (others != true[:, None])
    if end is not None:
        usable &= others != end
    in_prompt = (others[:, :, None] == prompts[:, None]).any(dim=2) & usable
    chosen = torch.where(in_prompt, 2, usable.long()).argmax(dim=1)  # the first in the prompt, else the first usable
    other = torch.where(usable.any(dim=1), others.gather(1, chosen[:, None])[:, 0], true)
    after = predict(prompts, answers.scatter(1, places[:, None], other[:, None]))
    behind = at(there, ahead) & (places + ahead < answers.shape[1])
    counted = usable.any(dim=1) & (at(before, ahead) == at(answers, ahead)) & behind
    changed = at(after, ahead) != at(answers, ahead)
    return int((changed & counted).sum()), int(counted.sum())
