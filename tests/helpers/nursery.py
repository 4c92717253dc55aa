"""Processes that are killed: they are forked from one that has loaded the library already, so that a start is cheap."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVE = """
for _ in sys.stdin:
    child = os.fork()
    if not child:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started the tests may ignore it, as nohup does
        work()
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Nursery:
    """Starts the same work again and again in processes of their own.

    Args:
        code: defines `work()`, and loads beforehand what it needs.
        arguments: its `sys.argv[1:]`.
        store: where its results lie.
    """

    def __init__(self, code: str, *arguments: str, store: Path) -> None:
        environment = {**os.environ, "LOOKAHEAD_RESULTS": str(store), "LOOKAHEAD_PROGRESS": "", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", f"import os, signal, sys\n{code}\n{SERVE}", *arguments]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def start(self) -> int:
        """The number of the new process."""
        self.process.stdin.write("go\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        return int(self.process.stdout.readline())  # type: ignore[union-attr]

    def status(self) -> int:
        """How it ended, when it has."""
        return os.waitstatus_to_exitcode(int(self.process.stdout.readline()))  # type: ignore[union-attr]

    def close(self) -> None:
        self.process.communicate()


def wait_until(there: Callable[[], bool]) -> None:
    """Waits for it, two minutes at most."""
    end = time.monotonic() + 120
    while not there():
        assert time.monotonic() < end, "nothing came in two minutes"
        time.sleep(0.001)
