"""Executes the chapters and builds the site: the work behind `make`.

    python -m lookahead.chapter.build chapters              executes what is out of date, on copies in build/chapters
    python -m lookahead.chapter.build chapters --in-place   and writes the outputs into chapters/
    python -m lookahead.chapter.build compare               executes again, compares with the committed outputs (nbval)
    python -m lookahead.chapter.build site                  the site, from the executed copies (or --committed)

A chapter runs as a process of its own (papermill), on one thread, with the instruction set pinned. Whether it is
out of date is decided by content: its code, the library, the results, the pinned requirements. Only outputs are
taken from an execution; prose is always that of chapters/, so that mending a sentence executes nothing.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import yaml
from PIL import Image
from tqdm import tqdm

from lookahead.chapter.begin import PINS
from lookahead.errors import LookaheadError
from lookahead.files import write_text

LARGEST = 1_000_000
"""Bytes of a committed chapter."""
VOLATILE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "widgets")
"""Metadata that changes from run to run, or with the editor."""


# ---- what is listed, what is out of date -------------------------------------------------------------------------


def listed(root: Path) -> list[Path]:
    """The chapters of `_toc.yml`, in its order."""
    contents = root / "_toc.yml"
    if not contents.is_file():
        raise LookaheadError(f"there is no {contents.name} in {root.resolve()}: run this at the root of the book")

    def files(node: Any) -> Iterable[str]:
        if isinstance(node, list):
            for item in node:
                yield from files(item)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in ("file", "root"):
                    yield value
                else:
                    yield from files(value)

    names = [name.removesuffix(".ipynb") for name in files(yaml.safe_load(contents.read_text(encoding="utf-8")))]
    chapters = [root / f"{name}.ipynb" for name in names if name.startswith("chapters/")]
    if missing := [str(chapter.relative_to(root)) for chapter in chapters if not chapter.is_file()]:
        raise LookaheadError(f"{contents.name} lists what is not there: {', '.join(missing)}")
    return chapters


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
    places = [*(root / "lib" / "lookahead").rglob("*"), *(root / "results").rglob("*"), root / "requirements.txt"]
    aside = {"__pycache__", root / "results" / "runs"}
    return [file for file in places if file.is_file() and not aside & {*file.parts, *file.parents}]


def fingerprint(root: Path, chapter: Path) -> str:
    """Changes when the outputs of a chapter may change."""
    cells = [cell for cell in read(chapter).cells if cell.cell_type == "code"]
    code = [[cell.source, sorted(cell.metadata.get("tags", []))] for cell in cells]
    return digest(root, inputs(root), f"Python {sys.version_info[:2]}", json.dumps(code))


def record(root: Path, chapter: Path) -> Path:
    """Says how a chapter's last good execution went: its fingerprint, seconds, memory."""
    return root / "build" / "chapters" / f"{chapter.stem}.json"


def current(root: Path, chapter: Path) -> bool:
    """Whether the executed copy in build/chapters is up to date."""
    path = record(root, chapter)
    try:
        done = json.loads(path.read_text())["fingerprint"]
    except (OSError, ValueError, KeyError):
        return False
    return path.with_suffix(".ipynb").is_file() and done == fingerprint(root, chapter)


# ---- notebooks ---------------------------------------------------------------------------------------------------


def read(path: Path) -> Any:
    """A notebook.

    Raises:
        LookaheadError: the file is none.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises what its parsers raise
        raise LookaheadError(f"{path} is not a notebook: {error}") from error


def finished(source: Path, executed: Path) -> str:
    """The text of the notebook at `source` with the outputs of its execution, without volatile metadata."""
    notebook, outputs = (read(source), [cell for cell in read(executed).cells if cell.cell_type == "code"])
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.source for cell in code] != [cell.source for cell in outputs]:
        raise LookaheadError(f"{source.name} was edited while it was executed: run it again")
    for cell, done in zip(code, outputs, strict=True):
        cell.outputs, cell.execution_count = joined(done.outputs), done.execution_count
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = lighter(output.data["image/png"])
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in VOLATILE:
            metadata.pop(name, None)
        if "tags" in metadata and not metadata["tags"]:
            del metadata["tags"]
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    return nbformat.writes(notebook) + "\n"


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs with neighbouring pieces of one stream made one: where they are cut is chance."""
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else None
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def lighter(picture: str) -> str:
    """A PNG in base64 with a palette of 256 colours: a quarter of the bytes, the same to the eye."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    packed = io.BytesIO()
    image.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def write_back(root: Path, chapter: Path) -> bool:
    """Writes the outputs of the executed copy into the chapter; False if nothing changed.

    Raises:
        LookaheadError: the chapter would be too large; it is left as it was.
    """
    text = finished(chapter, record(root, chapter).with_suffix(".ipynb"))
    if (size := len(text.encode())) > LARGEST:
        raise LookaheadError(
            f"{chapter.name} would be {size / 1e6:.1f} MB with its outputs; {LARGEST / 1e6:.0f} MB is the limit"
            f" (smaller figures, fewer points, shorter tables). It is left as it was"
        )
    if text == chapter.read_text(encoding="utf-8"):
        return False
    write_text(chapter, text)
    return True


# ---- execution ---------------------------------------------------------------------------------------------------


def environment(progress: Path | None = None) -> dict[str, str]:
    """What a chapter's process runs in; without a file for progress it reports none."""
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    kernel_of_this_environment = {"JUPYTER_PREFER_ENV_PATH": "1"}
    return {**inherited, **PINS, **kernel_of_this_environment, "LOOKAHEAD_PROGRESS": str(progress or "")}


class Execution:
    """One chapter, running."""

    def __init__(self, root: Path, chapter: Path, slot: int) -> None:
        self.root, self.chapter, self.slot = root, chapter, slot
        self.fingerprint, self.begun = fingerprint(root, chapter), time.monotonic()
        self.copy = record(root, chapter).with_suffix(".ipynb")
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.progress = (self.copy.with_suffix(".log"), self.copy.with_suffix(".progress"))
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
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*map(str, command)],
                cwd=root,
                env=environment(self.progress.resolve()),
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
        try:
            text = finished(self.chapter, self.part)
        except LookaheadError as error:
            say(f"{self.chapter.stem} FAILED: {error}")
            return False
        write_text(self.copy, text)
        memory = self.usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        done = {
            "chapter": self.chapter.stem,
            "fingerprint": self.fingerprint,
            "wall_seconds": round(seconds, 1),
            "cpu_seconds": round(self.usage.ru_utime + self.usage.ru_stime, 1),
            "peak_memory_bytes": memory,
        }
        write_text(record(self.root, self.chapter), json.dumps(done, indent=2) + "\n")
        for rest in (self.part, self.progress):
            rest.unlink(missing_ok=True)
        say(f"{self.chapter.stem}: done in {seconds:.0f} s, at most {memory / 2**20:.0f} MB")
        return True

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
            cells = [cell for cell in read(self.part).cells if cell.cell_type == "code"]
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


def compare(root: Path, jobs: int = 2) -> None:
    """Executes the committed chapters again and compares every output (strict nbval).

    Raises:
        LookaheadError: an output differs, or a cell raised.
    """
    chapters, rules, stamp = (listed(root), root / "tests" / "sanitize.cfg", root / "build" / "stamps" / "compare")
    state = digest(root, [*chapters, *inputs(root), rules])
    if stamp.is_file() and stamp.read_text() == state:
        say(f"{len(chapters)} chapters, all compared already")
        return
    options = ["-p", "no:cacheprovider", "-n", str(jobs), "--dist", "loadfile", "-q"]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with", rules, *options, *chapters]
    if subprocess.run([*map(str, command)], cwd=root, env=environment()).returncode != 0:
        raise LookaheadError("the outputs of a fresh execution are not those committed (`make chapters` renews them)")
    write_text(stamp, state)


# ---- the site ----------------------------------------------------------------------------------------------------


def stage(root: Path, source: Path, committed: bool) -> None:
    """Copies what the site is made of, and nothing else, to an empty folder."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "chapters").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, source)
    if (root / "book").is_dir():
        shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for chapter in listed(root):
        target = source / "chapters" / chapter.name
        if committed:
            shutil.copy(chapter, target)
        elif current(root, chapter):
            target.write_text(finished(chapter, record(root, chapter).with_suffix(".ipynb")), encoding="utf-8")
        else:
            raise LookaheadError(f"{chapter.stem} is not executed, or not since it or the library changed")


def site(root: Path, output: Path, committed: bool = False) -> Path:
    """Builds the site into `output`/html; every warning is an error. The first page is returned.

    Raises:
        LookaheadError: there was a warning.
    """
    source, html, work, stamp = (output / name for name in ("source", "html", "work", "stamp"))
    stage(root, source, committed)
    versions = [file for file in [root / "requirements.txt"] if file.is_file()]
    state = digest(source, (file for file in source.rglob("*") if file.is_file())) + digest(root, versions)
    page = html / "index.html"
    if page.is_file() and stamp.is_file() and stamp.read_text() == state:
        return page
    for old in (html, work):
        shutil.rmtree(old, ignore_errors=True)
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    options = ["build", source.resolve(), "--path-output", work.resolve(), "-n", "-W", "--keep-going"]
    say("building the site ...")
    built = subprocess.run(
        [sys.executable, "-c", command, *map(str, options)],
        cwd=source,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    log = output / "build.log"
    write_text(log, re.sub(r"\x1b\[[0-9;]*m", "", built.stdout))
    made = work / "_build" / "html"
    if built.returncode != 0 or not (made / "index.html").is_file():
        lines = log.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if re.search("WARNING|ERROR|Error|CRITICAL", line)] or lines[-20:]
        message = "\n  ".join(line.replace(f"{source.resolve()}/", "") for line in told)
        raise LookaheadError(f"the site was not built; {log} says all\n  {message}")
    made.replace(html)
    shutil.rmtree(work)
    # This first page only leads to the book's; without an icon the browser asks for one that is not there.
    page.write_text(
        '<!doctype html>\n<link rel="icon" href="data:,">\n' + page.read_text(encoding="utf-8"), encoding="utf-8"
    )
    write_text(stamp, state)
    return page


# ---- the command line --------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Prints above the bars."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="lookahead.chapter.build", description="Executes the chapters, builds the site."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the root of the book (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    chapters = commands.add_parser("chapters", help="execute what is out of date")
    chapters.add_argument("--in-place", action="store_true", help="write the outputs into chapters/")
    chapters.add_argument("--force", action="store_true", help="execute what is up to date, too")
    comparing = commands.add_parser("compare", help="execute again and compare with the committed outputs")
    for command in (chapters, comparing):
        command.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: 2)")
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
        elif asked.command == "compare":
            compare(asked.root, asked.jobs)
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
