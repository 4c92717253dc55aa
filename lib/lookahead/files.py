"""Files that are whole or not there, written beside, synced, then moved into place; and the journal of an execution."""

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "what stands there is no regular file")
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


# -- the journal ---------------------------------------------------------------------------------------------------

JOURNAL = "LOOKAHEAD_JOURNAL"
"""Environment variable: the file to write to; nothing is written without it."""


def note(**entry: Any) -> None:
    """Adds a line to the journal. Several processes may add to one file."""
    if path := os.environ.get(JOURNAL):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def entries(path: Path) -> list[dict[str, Any]]:
    """All lines of a journal; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
