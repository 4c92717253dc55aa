"""Writes requirements.lock and requirements-cluster.lock: `make lock`, after a change of requirements*.txt.

They hold every package that the pinned ones bring, with its version and the hashes of its files, for Python 3.11 or
newer on any machine. torch is left out, with what its CUDA build alone brings: which build is installed, and from which
index, is a choice, and each has hashes of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
CHOSEN = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")


def resolved(*files: Path | str) -> dict[str, str]:
    """What uv finds for some files of requirements: name and version of every package -> its entry."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *map(str, files)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    entries = re.findall(r"^\S+==.*\n(?:    .*\n)+", lines, re.MULTILINE)
    return {entry.split()[0]: entry for entry in entries if not CHOSEN.match(entry)}


def main() -> None:
    """Resolves both files together, so that their versions agree; the second lock holds what the first does not."""
    book, cluster = "requirements.txt", "requirements-cluster.txt"
    both = resolved(book, cluster)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as versions:
        versions.write("\n".join(entry.partition(" \\")[0] for entry in both.values()))
        versions.flush()
        first = resolved(book, "--constraint", versions.name)
    for name, entries in ((book, first), (cluster, {key: both[key] for key in both if key not in first})):
        Path(name).with_suffix(".lock").write_text("".join(entries.values()), encoding="utf-8")


if __name__ == "__main__":
    main()
