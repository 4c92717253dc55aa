"""A folder that can be read and not written, for whoever runs the tests: root may write anywhere."""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def make_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whatever would change something in a folder is answered as on a read-only file system."""

    def guarded(call: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def guard(path: Any, *given: Any, **more: Any) -> Any:
            inside = isinstance(path, str | os.PathLike) and Path(path).is_relative_to(folder)
            if inside and writes(path, *given, **more):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return call(path, *given, **more)

        return guard

    def opens_to_write(_: Any, flags: int, *__: Any, **___: Any) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def mode_writes(_: Any, mode: str = "r", *__: Any, **___: Any) -> bool:
        return any(letter in mode for letter in "wax+")

    def is_new(path: Any, *_: Any, **__: Any) -> bool:
        return not os.path.lexists(path)

    def always(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr(os, "open", guarded(os.open, opens_to_write))
    monkeypatch.setattr(io, "open", guarded(io.open, mode_writes))
    monkeypatch.setattr(builtins, "open", guarded(builtins.open, mode_writes))
    monkeypatch.setattr(os, "mkdir", guarded(os.mkdir, is_new))
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "chmod"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), always))
