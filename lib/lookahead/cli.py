"""lookahead ... on the command line."""

from __future__ import annotations

import argparse
import math
import sys

from lookahead.errors import LookaheadError


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


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="lookahead", description="Run the experiments behind the book.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments")
    runner = commands.add_parser("run", help="do what is missing of an experiment, and pack it")
    runner.add_argument("name")
    runner.add_argument("--profile", default="quick", help="quick, census or paper (default: quick)")
    runner.add_argument("--device", default="auto", help="auto, cpu or cuda")
    runner.add_argument("--time-limit", type=duration, help="stop cleanly before this: 90s, 9m, 2h")
    teller = commands.add_parser("info", help="the device, torch, and which kernels are used")
    teller.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args(arguments)

    from lookahead.experiments import EXPERIMENTS, experiment, run_experiment  # torch: not for --help

    try:
        if options.command == "info":
            from lookahead.contracts import resolve_device
            from lookahead.models.kernels import report

            print(*report(resolve_device(options.device)), sep="\n")
            return 0
        if options.command == "list":
            for found in EXPERIMENTS.values():
                print(f"{found.name:12} {found.question}")
            return 0
        run_experiment(
            experiment(options.name),
            options.profile,
            device=options.device,
            time_limit=options.time_limit,
            say=lambda line: print(line, flush=True),
        )
    except LookaheadError as error:
        print(f"lookahead: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lookahead: stopped; the same call goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
