"""What a chapter says and does: its parameters, its runs, its numbers, its claims."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from lookahead.chapter.sentence import sentence
from lookahead.errors import LookaheadError
from lookahead.tables import printable

if TYPE_CHECKING:
    from lookahead.chapter.cell import Cell
    from lookahead.contracts import Objective, Task
    from lookahead.experiments import Seeds
    from lookahead.runs.result import Result
    from lookahead.runs.run import Run


class Chapter:
    """The parameters of a chapter as attributes, and what it says of them.

    With parameters other than the committed defaults, claims are reported, not enforced.

    Args:
        parameters: by name.
        default: whether they are the committed ones.
        cell: the run that the chapter starts from.
        name: stands before the names of glued numbers.
        shown: parameters that the chapter speaks of when it shows itself; all if None.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        default: bool,
        cell: Cell,
        name: str = "",
        shown: tuple[str, ...] | None = None,
    ) -> None:
        self.parameters, self.default, self.cell, self.name = parameters, default, cell, name
        self.shown = tuple(parameters) if shown is None else shown

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(f"this chapter has no parameter {name!r}") from None

    def __repr__(self) -> str:
        model = self.cell.run(self.parameters, {}).config["model"] if "model" in self.parameters else {}
        return sentence(self.parameters, model, self.shown)

    def _repr_markdown_(self) -> str:
        return repr(self)

    @property
    def task(self) -> Task:
        """The task of the chapter's parameters, its data drawn by the chapter's seed."""
        return self.cell.run(self.parameters, {}).build_task()

    def build(self, **changes: Any) -> tuple[Task, Objective]:
        """The task and the network of the chapter's run, not trained, with changes on top as in `run`."""
        return self.cell.run(self.parameters, changes).build()

    def run(self, *, weights: bool = False, **changes: Any) -> Result:
        """Does the chapter's run: its cell at its profile, its parameters on top, changes on top of them.

        At the paper's size a CPU does not train: there the stored result of that run is taken, and the chapter says
        so.

        Args:
            weights: the chapter goes on to look into the network; stored results are without.
            changes: fields of the run, or options of its task.

        Returns:
            the result.

        Raises:
            LookaheadError: no GPU, and nothing stored; the message says how to get it.
        """
        from lookahead.machine import resolve_device
        from lookahead.runs import harness

        config = self.cell.run(self.parameters, changes)
        if self.profile != "paper" or resolve_device(self.device).type != "cpu":
            return harness.run(config, device=self.device)
        return self._stored(config, weights)

    def run_seeds(self, count: int | None = None, *, weights: bool = False, **changes: Any) -> Seeds:
        """`run` for several seeds, from the chapter's on.

        Args:
            count: how many; the parameter `seeds` if None.
        """
        from lookahead.experiments import Seeds

        seeds = range(self.seed, self.seed + (self.parameters["seeds"] if count is None else count))
        results = [self.run(weights=weights, **{**changes, "seed": seed}) for seed in seeds]
        return Seeds(results)

    def _stored(self, config: Run, weights: bool) -> Result:
        """The result of a run from the store."""
        from lookahead.experiments.grid import look, packed_anywhere
        from lookahead.runs.result import run_folder

        result = look("", config, packed_anywhere()).result
        if result is None:
            raise LookaheadError(
                f"no GPU here to train at the paper's size, and nothing stored of this run ({config.id}): "
                f"{_command(config.id)} on a machine with one, or take the profile census"
            )
        if weights and not (run_folder(config.id) / "weights.safetensors").exists():
            raise LookaheadError(
                f"this chapter looks into the network, and no weights are kept of run {config.id}: at the paper's size "
                "it needs a GPU; or take the profile census"
            )
        stale = "" if result.current else "; OUT OF DATE: today's code would give another"
        device = printable(result.manifest["device"])
        print(f"no GPU here: run {config.id} is taken from the store, trained on {device}{stale}")
        return result

    def glue(self, **numbers: float) -> None:
        """Stores numbers for the prose: `glue(live_accuracy=x)` in chapter c3 is {glue:text}`c3-live-accuracy:.2f`.

        Raises:
            LookaheadError: not a finite number, or a chapter without a name.
        """
        from myst_nb import glue

        if not self.name:
            raise LookaheadError(f"name the chapter in begin, such as name='c3': {', '.join(numbers)} need it")
        named = {f"{self.name}-{name.replace('_', '-')}": value for name, value in numbers.items()}
        for name, value in named.items():
            number = float(value)
            if not math.isfinite(number):
                raise LookaheadError(f"{name} is {number}: the prose needs a finite number")
            glue(name, number, display=False)

    def claim(self, text: str, holds: bool) -> None:
        """Asserts what the text claims, and shows that it was checked; with other parameters than the defaults, shows
        whether it holds.

        Args:
            text: Markdown.

        Raises:
            AssertionError: the claim does not hold at the default parameters.
        """
        from IPython.display import display

        if not holds and self.default:
            raise AssertionError(f"the chapter claims: {text}")
        display(Claim(text, bool(holds), self.default))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim that was checked: a badge on the page, "holds: ..." as plain text."""

    text: str
    holds: bool
    default: bool

    def __repr__(self) -> str:
        return f"{'holds' if self.holds else 'does not hold'}: {self.text}"

    def _repr_markdown_(self) -> str:
        word = "does not hold" if not self.holds else "checked" if self.default else "holds"
        return f'<span class="claim {"" if self.holds else "not-"}checked">{word}</span> {self.text}'


def _command(run_id: str) -> str:
    """What trains a run of an experiment at the paper's size."""
    from lookahead.experiments import all_experiments

    for experiment in all_experiments().values():
        if any(run.id == run_id for run in experiment.runs("paper")):
            return f"`lookahead run {experiment.name} --profile paper --only {run_id}`"
    return "execute this chapter"
