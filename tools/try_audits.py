"""Audits data sets of which the truth is known, into results/audits.json; goes on where it was interrupted.

python tools/try_audits.py            # what is missing
python tools/try_audits.py --again    # all verdicts anew, with today's code; networks that were trained are kept
"""

from lookahead.machine import pin

pin()  # before torch is loaded

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import torch

import lookahead
from lookahead.auditing.known_truth import DATA_SETS, write
from lookahead.files import write_text
from lookahead.machine import processor

FOLDER, RESULTS = Path("build/audits"), Path("results/audits.json")
MAIN = 10_000
CASES = [(name, MAIN) for name in DATA_SETS] + [
    (name, size) for size in (3_000, 1_000, 30_000) for name in ("path-star", "addition", "story")
]
"""Data sets and numbers of examples, in the order in which they are audited."""


def main(again: bool) -> None:
    """Does what is missing; what is there is written after each."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    if RESULTS.exists():
        for one in json.loads(RESULTS.read_text(encoding="utf-8"))["audits"]:
            found[one["data"], one["size"]] = one
    for name, size in CASES:
        if (name, size) in found and not again:
            continue
        file = write(name, FOLDER / f"{name}-{size}.jsonl", size)
        audit = lookahead.audit(file, tokenizer=DATA_SETS[name].tokenizer, keep=FOLDER / "readers", log=print)
        print(audit, flush=True)
        found[name, size] = {"data": name, "size": size, **json.loads(audit.to_json())}
        report = {
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "instruction_set": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
            "measured": datetime.date.today().isoformat(),
            "audits": [found[case] for case in CASES if case in found],
        }
        write_text(RESULTS, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(again="--again" in sys.argv[1:])
