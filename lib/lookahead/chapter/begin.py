"""A chapter's first call: checks its parameters, fills in what the profile implies, pins the machine."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.files import JOURNAL, note
from lookahead.machine import pin

PROFILES = ("quick", "census", "paper")
COMMON = {"profile": "quick", "seed": 0, "device": None}
"""Parameters of every chapter, with their defaults."""

LITERALS = (bool, int, float, str, list, tuple, dict, type(None))
MARK = "_lookahead_begun"


def begin(
    namespace: dict[str, Any],
    *,
    quick: dict[str, Any],
    census: dict[str, Any],
    paper: dict[str, Any],
) -> Chapter:
    """Starts a chapter.

    Must come before torch is loaded.

    Args:
        namespace: the notebook's `globals()`; what its parameters cell set is read from there.
        quick: every size parameter of the chapter with its value at the quick profile.
        census, paper: what differs at the other profiles.

    Returns:
        the chapter; its parameters are attributes.

    Raises:
        LookaheadError: an unknown parameter (papermill passes those on without a word), profile, or a value
            of the wrong type.
    """
    allowed = {**COMMON, **dict.fromkeys(quick)}
    if MARK not in namespace:
        _refuse_unknown(namespace, allowed)
        _time_cells()
    namespace[MARK] = True
    given = {name: namespace.get(name, default) for name, default in allowed.items()}
    if given["profile"] not in PROFILES:
        raise LookaheadError(f"unknown profile {given['profile']!r}; known: {', '.join(PROFILES)}")
    sizes = {
        **quick,
        **{"quick": {}, "census": census, "paper": paper}[given["profile"]],
    }
    for name, implied in {"seed": COMMON["seed"], **quick}.items():
        value = given[name]
        if value is not None and not _fits(value, implied):
            raise LookaheadError(f"{name} is {type(implied).__name__}, such as {implied!r}; not {value!r}")
    explicit = {name: given[name] for name in quick if given[name] is not None}
    default = (
        given["profile"] == "quick"
        and given["seed"] == COMMON["seed"]
        and all(value == quick[name] for name, value in explicit.items())
    )
    values = {**sizes, **explicit}
    if {"degree", "path_length", "num_nodes"} <= set(values) and "num_nodes" not in explicit:
        needed = values["degree"] * (values["path_length"] - 1) + 1
        values["num_nodes"] = max(values["num_nodes"], needed)
    if given["device"] is None:
        given["device"] = "cpu" if given["profile"] == "quick" else "auto"
    if given["profile"] == "quick":
        pin()
    return Chapter({**{name: given[name] for name in COMMON}, **values}, default)


def _refuse_unknown(namespace: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Names in the notebook before its first call are parameters: none may be unknown."""
    hidden = set(getattr(_shell(), "user_ns_hidden", ())) | {"In", "Out"}
    for name, value in namespace.items():
        if name.startswith("_") or name in hidden or name in allowed or not isinstance(value, LITERALS):
            continue
        raise LookaheadError(f"unknown parameter {name!r}; this chapter takes {', '.join(allowed)}")


def cell_key(source: str) -> str:
    """What names a cell in the journal."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:16]


def _time_cells() -> None:
    """Notes the processor time of every cell from now on."""
    shell = _shell()
    if shell is None or not os.environ.get(JOURNAL):
        return
    begun = [time.process_time()]

    def start(_: Any) -> None:
        begun[0] = time.process_time()

    def stop(result: Any) -> None:
        note(cell=cell_key(result.info.raw_cell), cpu_seconds=round(time.process_time() - begun[0], 3))

    shell.events.register("pre_run_cell", start)
    shell.events.register("post_run_cell", stop)


def _shell() -> Any:
    """The notebook's shell; None outside a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _fits(value: Any, implied: Any) -> bool:
    """Whether a value can stand where `implied` does."""
    if isinstance(implied, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(implied)


def _command(run_id: str) -> str:
    """What trains a run of an experiment at the paper's size."""
    from lookahead.experiments import all_experiments

    for one in all_experiments().values():
        if any(run.id == run_id for _, run in one.runs("paper")):
            return f"`lookahead run {one.name} --profile paper --only {run_id}`"
    return "execute this chapter"


class Chapter:
    """The parameters of a chapter as attributes, and what it says of them.

    With parameters other than the committed defaults, claims are reported, not enforced.
    """

    def __init__(self, parameters: dict[str, Any], default: bool) -> None:
        self.parameters, self.default = parameters, default
        self.kind = f"live, {parameters['profile']} profile"
        """What stands under the figures of its runs: whether they were trained here."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(f"this chapter has no parameter {name!r}") from None

    def __repr__(self) -> str:
        return "\n".join(f"{name:12} {value}" for name, value in self.parameters.items())

    def run(self, *, weights: bool = False, **fields: Any) -> Any:
        """`lookahead.run` on the chapter's device, with what its profile says of a run beside its own parameters.

        At the paper's size a CPU does not train: there the stored result of that run is taken, and the chapter says
        so.

        Args:
            weights: the chapter goes on to look into the network; stored results are without.
            fields: of the run.

        Returns:
            the result.

        Raises:
            LookaheadError: no GPU, and nothing stored; the message says how to get it.
        """
        from lookahead.experiments import PROFILES
        from lookahead.machine import resolve_device
        from lookahead.runs import harness
        from lookahead.runs.run import Run

        config = Run.of({**PROFILES[self.profile]["run"], **fields})
        if self.profile != "paper" or resolve_device(self.device).type != "cpu":
            return harness.run(config, device=self.device)
        from lookahead.experiments.grid import look, packed_anywhere
        from lookahead.runs.result import run_folder

        found = look("", config, packed_anywhere()).result
        if found is None:
            raise LookaheadError(
                f"no GPU here to train at the paper's size, and nothing stored of this run ({config.id}): "
                f"{_command(config.id)} on a machine with one, or take the profile census"
            )
        if weights and not (run_folder(config.id) / "weights.safetensors").exists():
            raise LookaheadError(
                f"this chapter looks into the network, and no weights are kept of run {config.id}: at the paper's size "
                "it needs a GPU; or take the profile census"
            )
        self.kind = f"stored, {self.profile} profile"
        stale = "" if found.current else "; OUT OF DATE: today's code would give another"
        print(f"no GPU here: run {config.id} is taken from the store, trained on {found.manifest['device']}{stale}")
        return found

    def glue(self, name: str, value: float) -> None:
        """Stores a number for the prose: written there as {glue:text}`name:.2f`.

        Raises:
            LookaheadError: not a finite number.
        """
        from myst_nb import glue

        number = float(value)
        if not math.isfinite(number):
            raise LookaheadError(f"{name} is {number}: the prose needs a finite number")
        glue(name, number, display=False)

    def claim(self, text: str, holds: bool) -> None:
        """Asserts what the text claims; with other parameters than the defaults, says whether it holds.

        Raises:
            AssertionError: the claim does not hold at the default parameters.
        """
        if not holds and self.default:
            raise AssertionError(f"the chapter claims: {text}")
        print(f"{'holds' if holds else 'does not hold'}: {text}")
