"""A file that is replaced: its permissions, links to it, and what is no file."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookahead.errors import LookaheadError
from lookahead.files import replacing, write_text


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_gets_what_the_umask_leaves(umask: int, tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "file", "first")
    assert mode(tmp_path / "new" / "file") == 0o666 & ~umask
    with replacing(tmp_path / "rewritten") as temporary:  # as libraries do that write beside and rename
        temporary.unlink()
        temporary.write_text("x")
        temporary.chmod(0o600)
    assert mode(tmp_path / "rewritten") == 0o666 & ~umask


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o444, 0o755])
def test_a_file_keeps_its_permissions(kept: int, umask: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    path.chmod(kept)
    write_text(path, "second")
    assert (path.read_text(), mode(path)) == ("second", kept)


def test_a_symbolic_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link, second = tmp_path / "far" / "file", tmp_path / "link", tmp_path / "second"
    link.symlink_to("far/file")
    second.symlink_to(link)
    for text in ("new", "again"):
        write_text(second, text)
        assert (target.read_text(), link.read_text()) == (text, text)
        assert link.is_symlink()
        assert second.is_symlink()
        assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe, Path("/dev/null")):
        with pytest.raises(LookaheadError, match="what stands there is no regular file"):
            write_text(path, "x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(LookaheadError, match="below could not be written"):
        write_text(Path(__file__) / "below", "x")
