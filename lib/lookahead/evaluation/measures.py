"""The measures of the book, each under a name of its own.

| name | share of, in [0, 1] unless said |
| --- | --- |
| `autoregressive_accuracy` | answers right as a whole, given without a teacher |
| `teacher_forced_accuracy` | answers right as a whole, every token predicted from what training shows |
| `autoregressive_token_accuracy` | tokens right, by position, without a teacher |
| `teacher_forced_token_accuracy` | tokens right, by position, from what training shows |
| `decision_accuracy` | decision tokens right, from what training shows; chance is 1/d on path-star |
| `cheat_accuracy` | wrong arms finished, to the last node, once put on them; NaN where that cannot be done |
| `cheat_token_accuracy` | tokens that are the wrong arm's, by position, once put on it; NaN likewise |
| `return_token_accuracy` | tokens that are the *right* arm's, by position, though put on a wrong one; NaN likewise |
| `loss` | mean loss by position, nats; NaN where nothing is taught |
| `parts` | the objective's named scalars (`Loss.parts`), each averaged over the examples; absent where it names none |
| `examples` | how many examples stand behind each |

Where a task does not know its decision, `decision_accuracy` is absent; where it knows no decoys, so are
`cheat_accuracy`, `cheat_token_accuracy` and `return_token_accuracy`.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lookahead.contracts import Objective, Split, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.kinds import Count, fit
from lookahead.machine import device_of
from lookahead.stack import State, Template, each

Measures = dict[str, Any]
"""Names of the table above -> a float, a list of A floats by position, or for `parts` a mapping of floats."""

ROWS_AT_ONCE = {"cpu": 128, "cuda": 8192}
"""Most examples of all members together that are computed at a time. A CPU is fastest where they fit into its caches; a
GPU wants many."""
FIRST_ROWS = 64
"""So many are computed first on a GPU, to see how much memory they take."""
BYTES_AT_ONCE = 2**32
"""Most memory that what is computed at a time takes on a GPU. No tensor in it has more than 2^31 elements of two bytes
or more, which is as far as kernels count that do so in 32 bits."""

T = TypeVar("T")


@torch.no_grad()
def evaluate(objective: Objective, task: Task, split: Split, count: int, batch_size: int | None = None) -> Measures:
    """Every measure of the table above, on the first `count` examples of a split.

    Args:
        batch_size: examples at a time, at most; what suits the device if not given.

    Raises:
        LookaheadError: nothing to measure on, or a task that the objective was not made for.
    """

    return _evaluate(objective, [task], _alone(objective), _drawn([task], split), split, count, batch_size)[0]


@torch.no_grad()
def evaluate_on(
    objective: Objective, task: Task, prompts: Tensor, answers: Tensor, batch_size: int | None = None
) -> Measures:
    """Every measure of the table above, on given examples, such as those of a file.

        evaluate_on(objective, *PathStar.read("graphs.txt", num_nodes=50))

    Tokens alone do not tell which ids are labels and which are marks; therefore their task is asked for, too.

    Args:
        task: whose examples they are.
        prompts: [B, P].
        answers: [B, A].
        batch_size: as of `evaluate`.

    Raises:
        LookaheadError: as of `evaluate`, or what are no examples of the task.
    """
    task.check_examples(prompts, answers)

    def given(indices: Tensor) -> tuple[Tensor, Tensor]:
        rows = indices.to(prompts.device)
        return prompts[rows][None].to(indices.device), answers[rows][None].to(indices.device)

    return _evaluate(objective, [task], _alone(objective), given, "test", len(answers), batch_size)[0]


@torch.no_grad()
def evaluate_each(
    template: Template, state: State, tasks: Sequence[Task], split: Split, count: int, batch_size: int | None = None
) -> list[Measures]:
    """As `evaluate`, for S members at once (see `lookahead.stack`), each on the examples of its own task.

    Args:
        template, state: the members.
        tasks: one for each member; they differ in their seed alone.
        batch_size: examples of each member at a time, at most; what suits the device if not given.

    Raises:
        LookaheadError: nothing to measure on, or a task that the objective was not made for.
    """
    rows = rows_at_once(template)
    size = min(batch_size or rows, max(1, count))
    together = max(1, rows // size)
    measures = []
    for first in range(0, len(tasks), together):
        some = {name: values[first : first + together] for name, values in state.items()}

        def outputs(
            prompts: Tensor, answers: Tensor, noise: Tensor | None, forced: Tensor | None, some: State = some
        ) -> Outputs:
            def of_one(objective: Objective, prompts: Tensor, answers: Tensor, forced: Tensor | None) -> Outputs:
                return _outputs(objective, prompts, answers, noise, forced)

            return each(of_one, template, some, prompts, answers, forced)

        members = tasks[first : first + together]
        measures += _evaluate(template.objective, members, outputs, _drawn(members, split), split, count, size)
    return measures


def _drawn(tasks: Sequence[Task], split: Split) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """What draws the examples of a split for every member."""
    return lambda indices: type(tasks[0]).sample_each(tasks, split, indices[None])


def rows_at_once(module: nn.Module) -> int:
    """How many examples suit the device that a module lies on."""
    return ROWS_AT_ONCE[device_of(module).type]


class Outputs(NamedTuple):
    """What an objective makes of b examples; for S members together, each with a leading dimension S."""

    losses: Tensor
    """[b, A]."""
    predictions: Tensor
    """Answers predicted from what training shows, [b, A]."""
    given: Tensor
    """Answers given without a teacher, [b, A]."""
    led: Tensor
    """Answers whose first tokens were forced onto a wrong arm, [b, A], as floats; NaN where that cannot be done."""
    parts: dict[str, Tensor]
    """`Loss.parts`."""


OutputsOf = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Outputs]
"""Prompts [S, b, P], answers [S, b, A], noise and the decoys' first tokens [S, b, K] -> what S members make of them."""


def _alone(objective: Objective) -> OutputsOf:
    """`_outputs` of a single member."""

    def outputs(prompts: Tensor, answers: Tensor, noise: Tensor | None, forced: Tensor | None) -> Outputs:
        own = None if forced is None else forced[0]
        *tensors, parts = _outputs(objective, prompts[0], answers[0], noise, own)
        return Outputs(
            *(tensor[None] for tensor in tensors), parts={name: value[None] for name, value in parts.items()}
        )

    return outputs


def _evaluate(
    objective: Objective,
    tasks: Sequence[Task],
    outputs: OutputsOf,
    draw: Callable[[Tensor], tuple[Tensor, Tensor]],
    split: Split,
    count: int,
    batch_size: int | None,
) -> list[Measures]:
    """The measures of S members on the examples that `draw` gives for indices [b]: [S, b, P] and [S, b, A].

    Args:
        outputs: `_outputs` for all of them, with a leading dimension S.
        split: whose noise the objective gets.
    """
    count = fit("the number of examples to measure on", count, Count)
    objective.check(tasks[0])
    device = device_of(objective)
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}

    def piece(first: int, last: int) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        indices = torch.arange(first, last, device=device)
        prompts, answers = draw(indices)  # [S, b, P], [S, b, A]
        shape, flat_prompts, flat_answers = prompts.shape[:2], prompts.flatten(0, 1), answers.flatten(0, 1)
        decoys = tasks[0].decoys(flat_prompts, flat_answers)
        noise = objective.noise(("evaluation", split), indices)
        forced = None if decoys is None else decoys[:, : tasks[0].decision + 1].unflatten(0, shape)
        *tensors, found_parts = outputs(prompts, answers, noise, forced)
        judged = _judge(tasks[0], flat_prompts, flat_answers, decoys, *(tensor.flatten(0, 1) for tensor in tensors))
        mask = tasks[0].taught(flat_answers)
        found: dict[str, Tensor] = {}
        counted: dict[str, Tensor] = {}
        for name, value in judged.items():
            weight = torch.ones_like(value) if mask is None or value.dim() == 1 else mask
            found[name] = torch.where(weight.bool(), value.double(), 0).unflatten(0, shape).sum(dim=1)
            counted[name] = weight.double().unflatten(0, shape).sum(dim=1)
        weighted = {name: value.double() * len(indices) for name, value in found_parts.items()}
        return [(sums, found), (counts, counted), (parts, weighted)]

    for added in in_pieces(piece, count, batch_size or rows_at_once(objective), len(tasks), device):
        for totals, found in added:
            for name, value in found.items():
                totals[name] = totals.get(name, 0) + value
    means = {name: (total / counts[name]).tolist() for name, total in sums.items()}
    part_means = {name: (total / count).tolist() for name, total in parts.items()}
    return [
        {name: values[i] for name, values in means.items()}
        | ({"parts": {name: values[i] for name, values in part_means.items()}} if parts else {})
        | {"examples": count}
        for i in range(len(tasks))
    ]


def in_pieces(work: Callable[[int, int], T], count: int, rows: int, members: int, device: torch.device) -> Iterator[T]:
    """What `work(first, last)` gives for consecutive pieces of `count` examples, as large as memory has room for.

    Args:
        rows: most examples in a piece, of each of the members.

    Raises:
        LookaheadError: there is no room for one.
    """
    first, size = 0, rows if device.type == "cpu" else min(rows, max(1, FIRST_ROWS // members))
    while first < count:
        last = min(first + size, count)
        outcome = _tried(lambda first=first, last=last: work(first, last), device)
        if isinstance(outcome, torch.OutOfMemoryError):
            rows = size = _halved(last - first, outcome)
            continue
        found, needed = outcome
        yield found
        if needed:
            size = max(1, min(rows, (last - first) * BYTES_AT_ONCE // needed))
        first = last


def with_peak(work: Callable[[], T], device: torch.device) -> tuple[T, int]:
    """What `work` gives, and the bytes that it needed at its peak on a GPU; 0 on a CPU, where nobody counts them."""
    if device.type != "cuda":
        return work(), 0
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    return work(), torch.cuda.max_memory_allocated(device) - before


def _tried(work: Callable[[], T], device: torch.device) -> tuple[T, int] | torch.OutOfMemoryError:
    """As `with_peak`, or the error, without the tensors that its traceback holds on to."""
    try:
        return with_peak(work, device)
    except torch.OutOfMemoryError as error:
        return error.with_traceback(None)


def _halved(rows: int, fault: Exception) -> int:
    """Half as many examples at a time, which is told.

    Raises:
        LookaheadError: there was only one.
    """
    if rows == 1:
        raise LookaheadError(f"the GPU has no memory to measure one example: a smaller model or a larger GPU ({fault})")
    torch.cuda.empty_cache()
    warnings.warn(
        f"the GPU ran out of memory: {rows // 2} examples are measured at a time now; the measures are the same",
        stacklevel=5,
    )
    return rows // 2


def _outputs(
    objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None, forced: Tensor | None
) -> Outputs:
    """The outputs of one objective; the prompts are read once.

    Args:
        forced: the first tokens of the decoys, [b, K]; None where there are no decoys.
    """
    read = objective.prefill(prompts)
    loss = objective(read, answers, noise=noise)
    led = torch.full(answers.shape, torch.nan, device=answers.device)
    if forced is not None:
        with contextlib.suppress(CannotContinue):
            led = objective.answer(read, forced).float()
    return Outputs(loss.tokens, loss.predictions, objective.answer(read), led, loss.parts)


def _judge(
    task: Task,
    prompts: Tensor,  # [b, P]
    answers: Tensor,  # [b, A], as all that follow
    decoys: Tensor | None,
    losses: Tensor,
    predictions: Tensor,
    given: Tensor,
    led: Tensor,
) -> dict[str, Tensor]:
    """Each measure for each of b examples: [b] or [b, A]."""
    mask = task.taught(answers)
    judged = {
        "autoregressive_accuracy": task.correct(prompts, answers, given),
        "teacher_forced_accuracy": task.correct(prompts, answers, predictions),
        "autoregressive_token_accuracy": given == answers,
        "teacher_forced_token_accuracy": predictions == answers,
    }
    if task.decision_known:
        decisions = task.decisions(prompts, answers)[:, None]
        judged |= {"decision_accuracy": (predictions == answers).gather(1, decisions)[:, 0]}
    if decoys is not None:
        followed, returned = (torch.where(led.isnan(), led, (led == path).float()) for path in (decoys, answers))
        judged |= {
            "cheat_accuracy": (followed if mask is None else torch.where(mask, followed, 1)).prod(dim=1),
            "cheat_token_accuracy": followed,
            "return_token_accuracy": returned,
        }
    return {**judged, "loss": losses}
