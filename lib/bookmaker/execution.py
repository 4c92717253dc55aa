"""Executes chapters: by papermill on copies, by nbval to compare. What is up to date is decided by content."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from bookmaker.notebooks import EXECUTED, LARGEST, LIVE, code_cells, finished, listed, read, tags
from lookahead.chapter.parameters import cell_key
from lookahead.chapter.source import repository
from lookahead.errors import LookaheadError
from lookahead.files import JOURNAL, entries, write_text
from lookahead.machine import PINS, commit, processor


def say(text: str) -> None:
    """Prints above the bars."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


# ---- what is out of date -----------------------------------------------------------------------------------------


def digest(root: Path, files: Iterable[Path], *more: str) -> str:
    """A hash of names and contents."""
    sha = hashlib.sha256()
    for text in more:
        sha.update(f"{len(text)}:{text}".encode())
    for file in sorted(files):
        content = file.read_bytes()
        sha.update(f"{file.relative_to(root)}:{len(content)}:".encode() + content)
    return sha.hexdigest()


def inputs(root: Path) -> list[Path]:
    """The files, apart from its own, that determine a chapter's outputs."""
    pinned = [root / "requirements.txt", root / "requirements.lock"]
    places = [*(root / "lib").rglob("*"), *(root / "results").glob("*")]
    return [file for file in places if can_be_read(file.relative_to(root)) and file.is_file()] + [
        file for file in pinned if file.is_file()
    ]


def can_be_read(name: Path) -> bool:
    """Whether a chapter can read a file of that name: none of the builder's, nothing that an editor left there."""
    return (
        name.suffix in (".py", ".json", ".parquet")
        and not any(part.startswith(".") or part.endswith(".egg-info") for part in name.parts)
        and not name.match("lib/bookmaker/*")
        and not name.match("*-quick.parquet")
    )


def fingerprint(root: Path, chapter: Path) -> str:
    """Changes when the outputs of a chapter may change."""
    code = [[cell.source, sorted(tags(cell))] for cell in code_cells(read(chapter))]
    return digest(root, inputs(root), f"Python {sys.version_info[:2]}", repository(), json.dumps(code))


def executed_copy(root: Path, chapter: Path) -> Path:
    """Where a chapter's last good execution lies."""
    return root / "build" / "chapters" / chapter.name


def executed(notebook: Path) -> dict[str, Any]:
    """What a notebook says of the execution that made its outputs; empty if it does not."""
    return dict(read(notebook).metadata.get(EXECUTED, {}))


def current(root: Path, chapter: Path) -> bool:
    """Whether the executed copy is up to date."""
    copy = executed_copy(root, chapter)
    try:
        return executed(copy).get("fingerprint") == fingerprint(root, chapter)
    except LookaheadError:
        return False


# ---- execution ---------------------------------------------------------------------------------------------------


def environment(journal: Path, progress: Path | None = None) -> dict[str, str]:
    """What a chapter's process runs in: where it notes what its cells take; without a file for progress, silent."""
    files = {"LOOKAHEAD_PROGRESS": str(progress or ""), JOURNAL: str(journal.resolve())}
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    kernel_of_this_environment = {"JUPYTER_PREFER_ENV_PATH": "1"}
    return {**inherited, **PINS, **kernel_of_this_environment, **files}


def live_seconds(chapter: Path, journal: Path) -> float:
    """Core-seconds that a chapter's live cells took, by the journal of its execution."""
    live = {cell_key(cell.source) for cell in code_cells(read(chapter)) if LIVE in tags(cell)}
    return sum(entry["cpu_seconds"] for entry in entries(journal) if entry.get("cell") in live)


def found_runs(journal: Path) -> int:
    """How many runs an execution found in the store, and so did not train."""
    return sum("found" in entry for entry in entries(journal))


class Execution:
    """One chapter, running."""

    def __init__(self, root: Path, chapter: Path, slot: int) -> None:
        self.root, self.chapter, self.slot = root, chapter, slot
        self.fingerprint, self.begun = fingerprint(root, chapter), time.monotonic()
        self.copy = executed_copy(root, chapter)
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.progress, self.journal = (self.copy.with_suffix(s) for s in (".log", ".progress", ".journal"))
        self.journal.unlink(missing_ok=True)
        self.part = self.copy.with_name(f"{chapter.stem}.unfinished.ipynb")
        self.cells, self.said = len(read(chapter).cells), self.begun
        self.bar = None
        if sys.stderr.isatty():
            form = "{desc} |{bar:20}| {n_fmt}/{total_fmt} cells, {elapsed}{postfix}"
            self.bar = tqdm(
                total=self.cells, desc=chapter.stem, position=slot, leave=False, dynamic_ncols=True, bar_format=form
            )
        else:
            say(f"{chapter.stem}: {self.cells} cells")
        command = [sys.executable, "-m", "papermill", chapter, self.part, "--cwd", chapter.parent, "--progress-bar"]
        command += ["--start-timeout", 180]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*map(str, command)],
                cwd=root,
                env=environment(self.journal, self.progress.resolve()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def show(self) -> None:
        """Draws how far it is; where there is no terminal, says so once a minute."""
        counted = re.findall(r"(\d+)/\d+ \[", self.tail())
        done, training = int(counted[-1]) if counted else 0, ""
        with contextlib.suppress(OSError, ValueError, KeyError):
            report = json.loads(self.progress.read_text())
            if report["step"] < report["steps"]:
                training = f"{report['label']} {report['step']}/{report['steps']}"
        if self.bar is not None:
            self.bar.set_postfix_str(training, refresh=False)
            self.bar.update(done - self.bar.n)
            self.bar.refresh()
        elif time.monotonic() - self.said > 60:
            self.said = time.monotonic()
            say(f"{self.chapter.stem}: {done}/{self.cells} cells" + (f", {training}" if training else ""))

    def ended(self) -> bool:
        """Whether the process is gone; then `usage` holds what it and its kernel used."""
        pid, status, self.usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def close(self) -> bool:
        """Keeps the executed copy, or says what went wrong; whether all went well."""
        if self.bar is not None:
            self.bar.close()
        seconds = time.monotonic() - self.begun
        if self.process.returncode != 0:
            say(f"{self.chapter.stem} FAILED after {seconds:.0f} s\n{self.reason()}")
            return False
        memory = self.usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        try:
            self.sign(seconds, memory)
            text = finished(self.chapter, self.part)
        except LookaheadError as error:
            say(f"{self.chapter.stem} FAILED: {error}")
            return False
        write_text(self.copy, text)
        for rest in (self.part, self.progress, self.journal):
            rest.unlink(missing_ok=True)
        say(f"{self.chapter.stem}: done in {seconds:.0f} s, at most {memory / 2**20:.0f} MB")
        return True

    def sign(self, seconds: float, memory: int) -> None:
        """Writes into the executed notebook when, where and by which code its outputs were made."""
        made_by, changed = commit()
        notebook = read(self.part)
        notebook.metadata[EXECUTED] = {
            "fingerprint": self.fingerprint,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": made_by,
            "uncommitted_changes": changed,
            "processor": processor(),
            "python": platform.python_version(),
            "torch": importlib.metadata.version("torch"),
            "wall_seconds": round(seconds, 1),
            "cpu_seconds": round(self.usage.ru_utime + self.usage.ru_stime, 1),
            "live_cpu_seconds": round(live_seconds(self.chapter, self.journal), 1),
            "found_runs": found_runs(self.journal),
            "peak_memory_bytes": memory,
        }
        nbformat.write(notebook, self.part)

    def never_began(self) -> bool:
        """Whether its kernel never answered: two that start at once may want the same port."""
        answers = ("Kernel died before replying to kernel_info", "Kernel didn't respond in")
        return self.process.returncode != 0 and any(answer in self.tail() for answer in answers)

    def stop(self) -> None:
        """Ends it before its time."""
        if self.bar is not None:
            self.bar.close()
        if self.process.returncode is None:
            self.process.terminate()
            self.process.wait()

    def tail(self, size: int = 4000) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - size))
            return log.read().decode(errors="replace")

    def reason(self) -> str:
        """The cell that raised and what; else the end of the log."""
        where = f"  its log: {self.log}"
        try:
            cells = code_cells(read(self.part))
        except LookaheadError:
            cells = []
        for cell in cells:
            for output in cell.outputs:
                if output.output_type == "error":
                    code = "\n".join(f"    {line}" for line in cell.source.splitlines())
                    return (
                        f"  code cell {cells.index(cell) + 1} raised {output.ename}: {output.evalue}\n{code}\n"
                        f"  the notebook up to there: {self.part}\n{where}"
                    )
        return "\n".join(f"    {line}" for line in self.tail().splitlines()[-15:]) + f"\n{where}"


def execute(root: Path, chapters: list[Path], jobs: int = 2) -> list[Path]:
    """Executes chapters, `jobs` at a time; those that failed are returned, the others go on."""
    waiting, running, failed = list(chapters), [], []
    again: set[Path] = set()
    try:
        while waiting or running:
            free = sorted(set(range(jobs)) - {execution.slot for execution in running})
            while waiting and free:
                running.append(Execution(root, waiting.pop(0), free.pop(0)))
            time.sleep(0.1)
            for execution in list(running):
                if execution.ended():
                    running.remove(execution)
                    if execution.never_began() and execution.chapter not in again:
                        again.add(execution.chapter)
                        waiting.insert(0, execution.chapter)
                        execution.stop()
                        say(f"{execution.chapter.stem}: its kernel never answered; once more")
                    elif not execution.close():
                        failed.append(execution.chapter)
                else:
                    execution.show()
    finally:
        for execution in running:
            execution.stop()
    return failed


def execute_stale(root: Path, jobs: int = 2, force: bool = False) -> None:
    """Brings the executed copies up to date.

    Raises:
        LookaheadError: a chapter failed.
    """
    chapters = listed(root)
    stale = [chapter for chapter in chapters if force or not current(root, chapter)]
    if not stale:
        say(f"{len(chapters)} chapters, all executed already")
    if failed := execute(root, stale, jobs):
        raise LookaheadError(f"failed: {', '.join(chapter.stem for chapter in failed)}")


def write_back(root: Path, chapter: Path) -> bool:
    """Writes the outputs of the executed copy into the chapter; False if nothing changed but the time they took.

    Raises:
        LookaheadError: the chapter would be too large; it is left as it was.
    """
    text = finished(chapter, executed_copy(root, chapter))
    if (size := len(text.encode())) > LARGEST:
        raise LookaheadError(
            f"{chapter.name} would be {size / 1e6:.1f} MB with its outputs; {LARGEST / 1e6:.0f} MB is the limit"
            f" (smaller figures, fewer points, shorter tables). It is left as it was"
        )
    if unmeasured(text) == unmeasured(chapter.read_text(encoding="utf-8")):
        return False
    write_text(chapter, text)
    return True


def unmeasured(text: str) -> str:
    """A notebook's text without what its execution took, so that executing again changes no file for that alone."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata[EXECUTED] = notebook.metadata.get(EXECUTED, {}).get("fingerprint")
    return nbformat.writes(notebook)
