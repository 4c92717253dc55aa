"""Files that are whole or not there, written beside, synced, moved into place; locks; the journal of an execution."""

import contextlib
import errno
import itertools
import json
import os
import secrets
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, SoftFileLock, Timeout

from lookahead.errors import LookaheadError, NoRoom


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write to; moves it to `path` if all went well, else removes it.

    A file keeps its permissions, a new one gets what the umask leaves; a symbolic link stays, and what it points to is
    written.

    Raises:
        LookaheadError: the file could not be written; what stood at `path` is untouched. `NoRoom` if the disk is full.
    """
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        regular(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary = part
        mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        raise failed(error)(
            f"{path} could not be written ({error.strerror or error}); what was there before is untouched"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def regular(path: Path) -> Path:
    """The path, unless something else than a file stands there: a pipe, for one, would be waited for.

    Raises:
        OSError: it does.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "what stands there is no regular file")
    return path


def failed(error: OSError) -> type[LookaheadError]:
    """`NoRoom` where the disk, or what one may use of it, is full."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    return NoRoom if full else LookaheadError


def sweep(folder: str | Path) -> None:
    """Removes what processes that were killed while writing left in a folder that no other process writes to."""
    for part in Path(folder).glob(".*.part"):
        part.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Makes a folder, and those above it, where missing.

    Raises:
        LookaheadError: it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed(error)(f"the folder {path} could not be made ({error.strerror or error})") from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_cache(path: str | Path) -> str:
    """The text of a file that can be made again; empty where it cannot be read, and what is no UTF-8 replaced."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def set_aside(path: Path) -> Path:
    """Gives what stands at a path a name that nothing reads, and that is free: `NAME.corrupt`, `NAME.corrupt-2`, ...

    Returns:
        its new path.

    Raises:
        LookaheadError: it cannot be renamed.
    """
    endings = (".corrupt" + (f"-{number}" if number > 1 else "") for number in itertools.count(1))
    paths = (path.with_name(path.name + ending) for ending in endings)
    aside = next(path for path in paths if not os.path.lexists(path))
    try:
        return path.rename(aside)
    except OSError as error:
        raise LookaheadError(f"{path} could not be set aside as {aside} ({error.strerror or error})") from error


# -- locks ---------------------------------------------------------------------------------------------------------

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without locks answers."""
PATIENCE = 2.0
"""Seconds that a lock is waited for in silence."""


@contextlib.contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Holds a lock, which ends with the process; its folder is made if missing.

    On a file system without locks a file beside stands for it. One that a dead process of another machine has left
    must be removed by hand: `holder` says whose it is.

    Args:
        timeout: in seconds; negative: as long as it takes.

    Raises:
        Timeout: another process holds it.
        LookaheadError: there can be no lock.
    """
    make_folder(path.parent)
    try:
        lock = FileLock(path)
        try:
            _acquire(lock, path, timeout)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            lock = SoftFileLock(_stand_in(path))
            _acquire(lock, path, timeout)
    except Timeout:
        raise
    except OSError as error:
        raise failed(error)(f"{path} could not be locked ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock | SoftFileLock, path: Path, timeout: float) -> None:
    """Acquires a lock, and says what it waits for if that takes long."""
    if 0 <= timeout <= PATIENCE:
        lock.acquire(timeout=timeout)
        return
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        warnings.warn(f"waiting for {path}: {holder(path) or 'another process holds it'}", stacklevel=2)
        lock.acquire(timeout=max(-1, timeout - PATIENCE))


def holder(path: Path) -> str:
    """Who holds a lock on a file system without locks, and how to end that; empty on other file systems."""
    for file in (_stand_in(path), path):  # filelock has its own stand-in for ENOSYS, the file itself
        process, host, *_ = [*read_cache(file).split(), "", ""]
        if process and host:
            return f"process {process} on {host} holds it; if that is gone, remove {file}"
    return ""


def _stand_in(path: Path) -> Path:
    """The file that stands for a lock on a file system without locks."""
    return path.with_name(f"{path.name}.held")


# -- the journal ---------------------------------------------------------------------------------------------------

JOURNAL = "LOOKAHEAD_JOURNAL"
"""Environment variable: the file to write to; nothing is written without it."""


def note(**entry: Any) -> None:
    """Adds a line to the journal. Several processes may add to one file."""
    if path := os.environ.get(JOURNAL):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def entries(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal; none where there is no file."""
    found: list[Any] = []
    for line in read_cache(path).splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [entry for entry in found if isinstance(entry, dict)]
