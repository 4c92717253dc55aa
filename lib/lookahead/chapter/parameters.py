"""A chapter's first call: checks its parameters, fills in what the profile implies, pins the machine."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

from lookahead.chapter.chapter import Chapter
from lookahead.errors import LookaheadError
from lookahead.files import JOURNAL, note
from lookahead.kinds import Count, Range, Seed, fit
from lookahead.machine import pin

COMMON = {"profile": "quick", "seed": 0, "device": None}
"""Parameters of every chapter, with their defaults."""

SETS_PARAMETERS = re.compile(r"\A# Parameters\n|^profile = ", re.M)
"""A cell that does: the one that papermill adds, and the one after which it does."""
MARK = "_lookahead_begun"

KINDS = {
    "profile": str,
    "seed": Seed,
    "device": str | None,
    "seeds": Count,
    "examples": Count,
    "error_rate": Annotated[float, Range(above=0, most=1)],
}
"""What parameters that are no field of a run must be; the run judges the others."""


def begin(
    namespace: dict[str, Any],
    *,
    name: str = "",
    experiment: str | None = None,
    cell: Mapping[str, Any] | None = None,
    task: str | None = None,
    quick: Mapping[str, Any] | None = None,
    census: Mapping[str, Any] | None = None,
    paper: Mapping[str, Any] | None = None,
) -> Chapter:
    """Starts a chapter.

    Must come before torch is loaded.

        chapter = begin(globals(), name="c3", experiment="direction", cell={"objective": "teacher_forcing"},
                        quick={"steps": 240, "seeds": 3}, census={"seeds": 10})

    Args:
        namespace: the notebook's `globals()`; what its parameters cell set is read from there.
        name: stands before the names of the chapter's glued numbers.
        experiment: whose cell the chapter trains. The settings of that cell, its model and the options of its task are
            the chapter's parameters, with the values that the cell has at the profile.
        cell: the fields that tell the cell, as in `Experiment.cell`.
        task: the name of the task of a chapter without an experiment.
        quick, census, paper: parameters that are others at that profile, and further ones; those of `quick` that the
            cell does not have hold at the other profiles, too.

    Returns:
        the chapter; its parameters are attributes.

    Raises:
        LookaheadError: an unknown parameter (papermill passes those on without a word), profile, or a value
            of the wrong type or out of range.
    """
    profile = fit("profile", namespace.get("profile", COMMON["profile"]), KINDS["profile"])
    if profile == "quick":
        pin()
    from lookahead.chapter.cell import Cell  # it loads torch

    changes = {"quick": quick or {}, "census": census or {}, "paper": paper or {}}
    base, small = (Cell(size, experiment, cell or {}, task) for size in (profile, "quick"))
    usual = {**small.parameters, **changes["quick"]}
    sizes = {**usual, **base.parameters, **changes[profile]}

    allowed = {**COMMON, **dict.fromkeys(usual)}
    if MARK not in namespace:
        _refuse_unknown(namespace, allowed)
        _time_cells()
        namespace[MARK] = [parameter for parameter in usual if parameter in namespace or parameter in changes["quick"]]
    given = {parameter: namespace.get(parameter, default) for parameter, default in allowed.items()}
    for parameter, value in given.items():
        if value is not None or parameter in COMMON:
            given[parameter] = fit(parameter, value, KINDS.get(parameter) or _kind(usual[parameter]))
    explicit = {parameter: given[parameter] for parameter in usual if given[parameter] is not None}
    default = (
        profile == "quick"
        and given["seed"] == COMMON["seed"]
        and all(value == usual[parameter] for parameter, value in explicit.items())
    )
    values = {**base.fitted({**sizes, **explicit}), **explicit}
    device = given["device"] or ("cpu" if profile == "quick" else "auto")
    parameters = {"profile": profile, "seed": given["seed"], "device": device, **values}
    if base.task is not None:
        base.run(parameters, {})  # what cannot be trained is refused here, not by a later cell
    return Chapter(parameters, default, base, name, shown=(*COMMON, *namespace[MARK]))


def _refuse_unknown(namespace: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """No parameter may be unknown. What other cells set, before this call, is their own."""
    for cell in namespace.get("In", ()):
        for name in re.findall(r"^(\w+) = ", cell, re.M) if SETS_PARAMETERS.search(cell) else ():
            if name not in allowed:
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


def _kind(implied: Any) -> Any:
    """The kind of what can stand where `implied` does."""
    return type(implied) if isinstance(implied, bool | int | float | str) else Any
