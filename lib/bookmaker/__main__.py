"""python -m bookmaker COMMAND

    chapters               executes what is out of date, on copies in build/chapters
    chapters --in-place    and writes the outputs into chapters/
    check                  holds the committed chapters against the book's rules, without executing them
    compare                executes them again and compares every output (nbval)
    launch                 the first cell of each chapter, which installs the library: for Colab and Binder
    site                   the site, from the executed copies (or --committed)

A chapter runs as a process of its own (papermill), on one thread, with the instruction set pinned. Whether it is
out of date is decided by content: its code, the library, the results, the pinned requirements. Only outputs are
taken from an execution; prose is always that of chapters/, so that mending a sentence executes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
from pathlib import Path

from bookmaker.checks import check
from bookmaker.comparison import LIVE_BUDGET, compare
from bookmaker.execution import current, execute_stale, say, write_back
from bookmaker.launching import write_cells
from bookmaker.notebooks import listed
from bookmaker.site import site
from lookahead.errors import LookaheadError


def count(text: str) -> int:
    """A number of things, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A time."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number of seconds, not {text!r}")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code."""
    parser = argparse.ArgumentParser(prog="bookmaker", description="Executes, checks and builds the book.")
    parser.add_argument("--root", type=Path, default=Path(), help="the root of the book (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    chapters = commands.add_parser("chapters", help="execute what is out of date")
    chapters.add_argument("--in-place", action="store_true", help="write the outputs into chapters/")
    chapters.add_argument("--force", action="store_true", help="execute what is up to date, too")
    commands.add_parser("check", help="hold the committed chapters against the book's rules")
    comparing = commands.add_parser("compare", help="execute again and compare with the committed outputs")
    comparing.add_argument("--budget", type=seconds, default=LIVE_BUDGET, help="core-seconds for all live cells")
    for command in (chapters, comparing):
        command.add_argument("--jobs", type=count, default=2, help="chapters at a time (default: 2)")
    commands.add_parser("launch", help="give every chapter a first cell that installs the library")
    building = commands.add_parser("site", help="build the site")
    building.add_argument("--committed", action="store_true", help="from the committed outputs")
    building.add_argument("--output", type=Path, default=None, help="folder to build in (default: build/site)")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if asked.command == "chapters":
            try:
                execute_stale(asked.root, asked.jobs, asked.force)
            finally:
                done = [chapter for chapter in listed(asked.root) if asked.in_place and current(asked.root, chapter)]
                for chapter in done:
                    if write_back(asked.root, chapter):
                        say(f"{chapter} has new outputs")
        elif asked.command == "check":
            check(asked.root)
            say(f"{len(listed(asked.root))} chapters keep to the rules")
        elif asked.command == "compare":
            compare(asked.root, asked.jobs, asked.budget)
        elif asked.command == "launch":
            for chapter in write_cells(asked.root):
                say(f"{chapter} has another first cell; `make chapters` executes it")
        else:
            page = site(asked.root, asked.output or asked.root / "build" / "site", asked.committed)
            print(f"the site: {page.resolve()}")
    except LookaheadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
