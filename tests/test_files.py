"""Files that are whole or not there, names for what is corrupt, locks on every file system."""

import errno
import fcntl
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from lookahead import files
from lookahead.errors import LookaheadError, NoRoom
from lookahead.files import entries, holder, locked, read_cache, set_aside


def test_what_is_set_aside_is_never_lost(tmp_path: Path) -> None:
    path, kept = tmp_path / "pack.parquet", []
    for content in ("first", "second", None):
        path.mkdir() if content is None else path.write_text(content)
        kept.append(set_aside(path))
        assert not path.exists()
    assert [aside.name for aside in kept] == [f"pack.parquet.corrupt{ending}" for ending in ("", "-2", "-3")]
    assert [aside.read_text() for aside in kept[:2]] == ["first", "second"]
    assert kept[2].is_dir()
    assert list(tmp_path.glob("*.parquet")) == []
    with pytest.raises(LookaheadError, match=r"could not be set aside .*No such file"):
        set_aside(path)


def test_a_cache_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "none") == read_cache(tmp_path) == ""
    (tmp_path / "file").write_bytes(b"a \xff b")
    assert read_cache(tmp_path / "file") == "a \ufffd b"


def test_a_journal_is_read_without_its_cut_lines(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    assert entries(journal) == []
    journal.write_bytes(b'{"cell": "a"}\n{"cel\n\xff\n5\n{"found": "b"}')
    assert entries(journal) == [{"cell": "a"}, {"found": "b"}]


# -- locks -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def flock(*_: Any) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_stands_for_a_lock_where_there_are_none(no_locks: None, tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    for _ in range(2):
        with locked(path):
            told = holder(path)
            with pytest.raises(Timeout), locked(path, timeout=0):
                pass
        assert holder(path) == ""
    process, host = os.getpid(), socket.gethostname()
    assert told.startswith(f"process {process} on {host} holds it; if that is gone, remove {path}")


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_lock_of_a_dead_machine_is_said_and_can_be_cleared(
    no_locks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    with locked(path):
        (held,) = [file for file in tmp_path.iterdir() if file.read_text()]
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    held.write_text("4711\nanother-machine\n")
    told = f"process 4711 on another-machine holds it; if that is gone, remove {held}"
    with pytest.warns(UserWarning, match=told), pytest.raises(Timeout), locked(path, timeout=0.1):
        pass
    threading.Timer(0.3, held.unlink).start()
    with pytest.warns(UserWarning, match=told), locked(path):
        pass


def test_a_lock_that_is_waited_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    path = tmp_path / ".lock"
    other = path.open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    threading.Timer(0.3, other.close).start()
    with pytest.warns(UserWarning, match=r"waiting for .*\.lock: another process holds it"), locked(path):
        assert holder(path) == ""


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EROFS, LookaheadError), (errno.EIO, LookaheadError), (errno.ENOSPC, NoRoom)]
)
def test_a_lock_that_cannot_be_is_an_error_for_the_user(
    number: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(kind, match=rf"\.lock could not be locked \({os.strerror(number)}\)"),
        locked(tmp_path / ".lock"),
    ):
        pass
