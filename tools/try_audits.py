"""Audits data sets of which the truth is known, into results/audits.json; goes on where it was interrupted.

python tools/try_audits.py            # what is missing
python tools/try_audits.py --again    # those that are there anew, by today's code; no network is trained twice
"""

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from lookahead.files import write_text
from lookahead.machine import pin, processor

FOLDER, RESULTS = Path("build/audits"), Path("results/audits.json")
MAIN = 10_000
SEVERAL_SIZES = {
    3_000: ("path-star", "addition", "story"),
    1_000: ("path-star", "addition", "story"),
    30_000: ("path-star",),
    100_000: ("path-star",),
}
"""Examples in a file, beside MAIN -> the data sets that are audited with so many."""


def main(again: bool) -> None:
    """Does what is missing, or what is there; the file is written after each."""
    pin()  # before torch is loaded
    import torch

    import lookahead
    from lookahead.auditing.known_truth import DATA_SETS, write

    cases = [(name, MAIN) for name in DATA_SETS]
    cases += [(name, size) for size, names in SEVERAL_SIZES.items() for name in names]
    found: dict[tuple[str, int], dict[str, Any]] = {}
    if RESULTS.exists():
        for one in json.loads(RESULTS.read_text(encoding="utf-8"))["audits"]:
            found[one["data"], one["size"]] = one
    for name, size in cases:
        if ((name, size) in found) != again:
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
            "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "audits": [found[case] for case in cases if case in found],
        }
        write_text(RESULTS, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(again="--again" in sys.argv[1:])
