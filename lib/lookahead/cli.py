"""lookahead ... on the command line."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.tables import printable

UNFINISHED = 3
"""Exit status: nothing went wrong, but not everything that was asked for is there yet."""


BROKEN_PIPE = 141
"""Exit status, as of any program that writes to a pipe that nobody reads any more."""


def duration(text: str) -> float:
    """90, 90s, 9m or 2h, in seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 9m or 2h")
    return seconds


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    whole = argparse.ArgumentParser(prog="lookahead", description="Run the experiments behind the book.")
    commands = whole.add_subparsers(dest="command", required=True)

    def command(name: str, does: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        one.set_defaults(does=does)
        return one

    def which(one: argparse.ArgumentParser, optional: bool = False, profile: str | None = "quick") -> None:
        one.add_argument("name", nargs="?" if optional else None, help="name of an experiment (see lookahead list)")
        default = profile or "all of them"
        one.add_argument("--profile", default=profile, help=f"quick, census or paper (default: {default})")

    def only(one: argparse.ArgumentParser) -> None:
        one.add_argument(
            "--only", action="append", default=[], metavar="KEY",
            help="only runs whose id begins with KEY or whose label contains it; or seed=N; several must all hold",
        )  # fmt: skip

    one = command("list", list_experiments, "the experiments; with a name, its runs")
    which(one, optional=True)
    only(one)

    one = command("run", run, "run what is missing from an experiment, and collect the results")
    which(one)
    only(one)
    one.add_argument("--device", default="auto", help="auto, cpu or cuda")
    one.add_argument(
        "--engine", default="auto",
        help="how a step is computed: eager (as written), compiled, captured (a CUDA graph), auto (captured on a GPU)",
    )  # fmt: skip
    one.add_argument("--stack", type=int, default=1, metavar="S", help="train S seeds as one program, for a GPU")
    one.add_argument(
        "--processes", type=int, default=1, metavar="N", help="train each run with N processes together, one GPU each"
    )
    one.add_argument("--time-limit", type=duration, metavar="TIME", help="stop before this: 90 (seconds), 9m, 2h")
    one.add_argument("--retry", action="store_true", help="also those that failed before")
    one.add_argument("--weights", action="store_true", help="also those that were done here without keeping weights")
    one.add_argument("--no-wait", action="store_true", help="do not wait for runs that others are doing")
    one.add_argument("--no-pack", action="store_true", help="leave collecting the results to lookahead pack")
    one.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="also write the training curves there, for TensorBoard"
    )

    one = command("status", status, "how much of each experiment is done")
    which(one, optional=True, profile=None)
    only(one)
    one.add_argument("--missing", action="store_true", help="the ids of the runs that are missing or out of date")

    one = command("show", show, "show the results of an experiment: a table, and a figure")
    which(one)
    only(one)
    one.add_argument("--figure", type=Path, metavar="FILE", help="learning curves, as .png, .svg or .pdf")

    one = command("test", test, "judge a stored network on the examples of a file")
    one.add_argument("run", help="the id of a run that was done here, or the first letters of it (lookahead list NAME)")
    one.add_argument(
        "file", type=Path, help="in the format of the run's task: path-star graphs, or prompts and answers"
    )
    one.add_argument("--json", action="store_true", help="all measures, for programs")
    one.add_argument("--device", default="auto", help="auto, cpu or cuda")

    one = command("audit", audit, "say whether next-token training on a file of prompts and answers invites the cheat")
    one.add_argument("file", type=Path, help=".jsonl, .csv or .tsv (also with .gz or .zst), or .parquet")
    one.add_argument("--prompt-field", default="prompt", metavar="FIELD")
    one.add_argument(
        "--answer-field", action="append", metavar="FIELD",
        help="given several times: the fields of the answer in their order, each with a row in the report",
    )  # fmt: skip
    one.add_argument(
        "--parts", type=int, metavar="N", help="look at N equal parts of each answer, not at its tokens"
    )  # fmt: skip
    one.add_argument("--tokenizer", help="characters (the default), words, bytes, or a folder with a tokenizer.json")
    one.add_argument("--steps", type=int, help="most training steps of each of four small networks (default: 2000)")
    one.add_argument(
        "--model", type=Path, metavar="DIR", help="train nothing: judge this causal language model (transformers)"
    )
    one.add_argument("--separator", metavar="TEXT", help="between prompt and answer, for --model (default: a new line)")
    one.add_argument(
        "--jobs", type=int, metavar="N", help="networks trained at once (default: as many as there are cores)"
    )
    one.add_argument("--skip-bad", type=int, default=0, metavar="N", help="leave out up to N malformed lines")
    one.add_argument("--test-file", type=Path, metavar="FILE", help="measure on these examples, not on a part of FILE")
    one.add_argument("--half-hidden", action="store_true", help="also a curve with a random half of the answer shown")
    one.add_argument("--json", action="store_true", help="everything, for programs")
    one.add_argument("--html", type=Path, metavar="FILE", help="the report with its picture, in one file")
    one.add_argument("--svg", type=Path, metavar="FILE", help="the picture")
    one.add_argument("--png", type=Path, metavar="FILE", help="the picture, drawn by matplotlib")
    one.epilog = "Exit status: 0 no, 3 cannot tell, 4 yes, 1 an error."

    text = "collect working results into one file per experiment; without a name, compare all files with today's code"
    one = command("pack", pack, text)
    which(one, optional=True)
    one.add_argument(
        "--join", nargs="+", type=Path, default=[], metavar="FILE", help="also those that other machines collected"
    )

    one = command("info", info, "the device, torch, and which kernels are used")
    one.add_argument("--device", default="auto", help="auto, cpu or cuda")
    return whole


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: complain(message)
        try:
            try:
                options = parser().parse_args(arguments)
                return options.does(options)
            finally:
                print(end="", flush=True)
        except LookaheadError as error:
            complain(error)
            return 1
        except KeyboardInterrupt:
            complain("stopped; the same call goes on from here")
            return 130
        except OSError as error:
            # What is still to be written is given up, or Python would try it again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):  # whoever read it, such as head, has seen enough
                return BROKEN_PIPE
            complain(error)
            return 1


def say(*lines: str) -> None:
    """Prints lines; what they quote may come from anybody's file."""
    print(*map(printable, lines), sep="\n")


def complain(message: object) -> None:
    """Prints a line on stderr."""
    print(printable(f"lookahead: {message}"), file=sys.stderr)


# What loads torch is imported by the command that needs it: not for --help.


def list_experiments(options: argparse.Namespace) -> int:
    from lookahead.experiments import all_experiments, find_experiment
    from lookahead.experiments.grid import labelled, select
    from lookahead.tables import columns

    if options.name is not None:
        one, profile = find_experiment(options.name), options.profile
        grid = select(labelled(one, profile), options.only)
        say(f"{one.question} ({profile} profile)")
        say(columns(["id", "seed", "label"], [[run.id, f"seed={run.seed}", label] for label, run in grid]))
        return 0

    found = all_experiments()
    width = max(map(len, found))
    for one in found.values():
        say(f"{one.name:{width}}  {one.question}")
    return 0


def run(options: argparse.Namespace) -> int:
    if options.profile != "paper":
        from lookahead.machine import pin

        pin()  # as in the chapters: one thread, so that several runners share a machine, and one instruction set

    from tqdm import tqdm

    from lookahead.experiments import find_experiment, run_experiment

    follow = None
    if options.tensorboard is not None:
        from lookahead.runs.tensorboard import TensorBoard

        follow = TensorBoard(options.tensorboard)
    outcome = run_experiment(
        find_experiment(options.name),
        options.profile,
        only=options.only,
        device=options.device,
        engine=options.engine,
        time_limit=options.time_limit,
        wait=not options.no_wait,
        retry=options.retry,
        weights=options.weights,
        packing=not options.no_pack,
        stack=options.stack,
        processes=options.processes,
        follow=follow,
        log=lambda line: tqdm.write(printable(line), file=sys.stdout),
    )
    if outcome.failed:
        raise LookaheadError(f"{len(outcome.failed)} runs failed; what succeeded is stored")
    return UNFINISHED if outcome.left or outcome.elsewhere else 0


def status(options: argparse.Namespace) -> int:
    from lookahead.experiments import PROFILES, all_experiments, find_experiment
    from lookahead.experiments.grid import grid_state, packed_anywhere
    from lookahead.experiments.report import STATUS_HEAD, status_row
    from lookahead.tables import columns

    if options.missing:
        if options.name is None:
            raise LookaheadError("--missing wants one experiment: lookahead status NAME --missing")
        grid = grid_state(find_experiment(options.name), options.profile or "quick", options.only)
        for entry in grid:
            if entry.state != "done":
                print(entry.run.id)
        return 0
    chosen = all_experiments().values() if options.name is None else [find_experiment(options.name)]
    profiles = list(PROFILES) if options.profile is None else [options.profile]
    rows, failures, packed = [], [], packed_anywhere()
    for one in chosen:
        for profile in profiles:
            grid = grid_state(one, profile, options.only, packed)
            if options.name or any(entry.state != "missing" for entry in grid):
                rows.append(status_row(one, profile, grid))
            failures += [f"failed: {entry.title} ({entry.run.id}): {entry.error}" for entry in grid if entry.error]
    say(columns(STATUS_HEAD, rows), *failures)
    return 0


def show(options: argparse.Namespace) -> int:
    from lookahead.experiments import find_experiment
    from lookahead.experiments.grid import grid_state
    from lookahead.experiments.report import TABLE_LEGEND, cells, summary_line, table

    if options.figure is not None:
        _require_drawable(options.figure)
    one = find_experiment(options.name)
    grid = grid_state(one, options.profile, options.only)
    if not any(entry.result for entry in grid):
        raise LookaheadError(
            f"nothing is stored of {one.name} at profile {options.profile}: "
            f"lookahead run {one.name} --profile {options.profile}"
        )
    say(f"{one.question} ({options.profile} profile)", "", table(grid), "", TABLE_LEGEND, summary_line(grid))
    if options.figure is not None:
        _figures("lookahead.figures.experiment").draw_experiment(options.figure, one.question, cells(grid))
        say(f"drawn to {options.figure}")
    return 0


def test(options: argparse.Namespace) -> int:
    from lookahead.runs.judging import evaluate_on

    judged = evaluate_on(options.run, options.file, device=options.device)
    say(judged.to_json() if options.json else str(judged))
    return 0


def audit(options: argparse.Namespace) -> int:
    from lookahead.machine import pin

    pin()
    from lookahead.auditing import audit, audit_checkpoint
    from lookahead.auditing.together import cores
    from lookahead.files import write_text
    from lookahead.tasks.own_data.table import cache_folder

    for path in filter(None, (options.html, options.svg, options.png)):
        _require_writable(path)  # before minutes are spent
    draw = _figures("lookahead.figures.audits") if options.png is not None else None
    training = {name: getattr(options, name) for name in ("tokenizer", "steps", "test_file", "half_hidden", "jobs")}
    training = {name: value for name, value in training.items() if value is not None and value is not False}
    same: dict[str, Any] = {"parts": options.parts, "skip_bad": options.skip_bad}
    same |= {"log": complain if sys.stderr.isatty() else lambda line: None}
    answers = options.answer_field or ["answer"]
    fields = options.prompt_field, answers[0] if len(answers) == 1 else answers
    if options.model is not None:
        if training:
            given = ", ".join(f"--{name.replace('_', '-')}" for name in training)
            raise LookaheadError(f"--model trains nothing and has its own tokenizer: leave out {given}")
        more = {} if options.separator is None else {"separator": options.separator}
        found = audit_checkpoint(options.model, options.file, *fields, **more, **same)
    else:
        if options.separator is not None:
            raise LookaheadError("--separator is for --model alone: small networks are told where an answer begins")
        training.setdefault("jobs", cores())
        found = audit(options.file, *fields, keep=cache_folder().with_name("readers"), **training, **same)
    for path, text in ((options.html, found.html()), (options.svg, found.svg())):
        if path is not None:
            write_text(path, text)
    if draw is not None:
        draw.write_audit(options.png, found)
    say(found.to_json() if options.json else str(found))
    return found.status


class _OnlyTried(Exception):
    """Leaves `replacing` before anything is replaced."""


def _require_writable(path: Path) -> None:
    """Refuses now what could not be written later; what stands there is untouched.

    Raises:
        LookaheadError: it cannot be written.
    """
    from lookahead.files import replacing

    if not path.absolute().parent.is_dir():
        raise LookaheadError(f"{path} could not be written: there is no folder {path.parent}")
    with contextlib.suppress(_OnlyTried), replacing(path):
        raise _OnlyTried


def _require_drawable(path: Path) -> None:
    """As `_require_writable`, for a figure.

    Raises:
        LookaheadError: another kind of file than figures are, too.
    """
    _figures("lookahead.figures.style").form_of(path)
    _require_writable(path)


def _figures(module: str) -> Any:
    """A module of figures, which wants more than the library alone.

    Raises:
        LookaheadError: that is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LookaheadError(f"a figure needs more ({error}): pip install -e .[chapters]") from error


def pack(options: argparse.Namespace) -> int:
    from lookahead.experiments import find_experiment, pack_experiment
    from lookahead.runs.parquet import pack as renew
    from lookahead.runs.result import store_folder

    if options.name is None:
        if options.join:
            raise LookaheadError("--join wants one experiment: lookahead pack NAME --join FILE")
        for file in sorted(store_folder().glob("*.parquet")):
            say(f"compared with today's code: {renew(file.stem, [])}")
        return 0
    path, count = pack_experiment(find_experiment(options.name), options.profile, options.join)
    say(f"{count} results in {path}")
    return 0


def info(options: argparse.Namespace) -> int:
    from lookahead.machine import resolve_device
    from lookahead.models.ops.dispatch import report

    say(*report(resolve_device(options.device)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
