"""The committed chapters executed again, every output compared (strict nbval), the time of live cells summed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bookmaker.execution import digest, environment, found_runs, inputs, live_seconds, say
from bookmaker.notebooks import listed
from lookahead.chapter.source import repository
from lookahead.errors import LookaheadError
from lookahead.files import read_cache, write_text

LIVE_BUDGET = 15 * 60.0
"""Core-seconds that the live cells of all chapters together may take."""


def compare(root: Path, jobs: int = 2, budget: float = LIVE_BUDGET) -> None:
    """Compares.

    Raises:
        LookaheadError: an output differs, a cell raised, or the live cells took longer than the budget.
    """
    chapters, rules, stamp = (
        listed(root),
        root / "tests" / "chapter" / "sanitize.cfg",
        root / "build" / "stamps" / "compare",
    )
    state = digest(root, [*chapters, *inputs(root), rules], str(budget), repository())
    if read_cache(stamp) == state:
        say(f"{len(chapters)} chapters, all compared already")
        return
    journal = root / "build" / "compare.journal"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.unlink(missing_ok=True)
    options = ["-p", "no:cacheprovider", "-n", str(jobs), "--dist", "loadfile", "-q"]
    options += ["--nbval-kernel-startup-timeout", "180"]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with", rules, *options, *chapters]
    if subprocess.run([*map(str, command)], cwd=root, env=environment(journal)).returncode != 0:
        raise LookaheadError("the outputs of a fresh execution are not those committed (`make chapters` renews them)")
    took = {chapter.stem: live_seconds(chapter, journal) for chapter in chapters}
    found = found_runs(journal)
    cells = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items() if seconds)
    cells += f"; {found} runs were found in the store, not trained" if found else ""
    if sum(took.values()) > budget:
        raise LookaheadError(
            f"the live cells take {sum(took.values()):.1f} core-seconds, {budget:.0f} are allowed ({cells}): "
            "train less in the chapters, or move runs to the store"
        )
    say(f"live cells: {sum(took.values()):.0f} of {budget:.0f} core-seconds ({cells or 'none'})")
    write_text(stamp, state)
