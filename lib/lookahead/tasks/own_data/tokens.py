"""Text to tokens: characters, words, bytes, or a tokenizer from a folder; and the ids that a file's tokens get."""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError, shown

CUTTERS: dict[str, Callable[[str], list[str]]] = {
    "characters": list,
    "words": str.split,
    "bytes": lambda text: [chr(byte) for byte in text.encode()],
}
"""How a text is cut, by the tokenizer's name. A byte stands as the character with its number."""
LARGEST_VOCABULARY = 2**17
BETWEEN = "<next field>"
"""The token between the fields of an answer that has several. No text is cut into it."""


class Tokenizer:
    """Cuts text into tokens, and puts them together again.

    Args:
        name: "characters", "words" (split at blanks), "bytes", or a folder that holds a `tokenizer.json` of Hugging
            Face's `tokenizers`, which must be installed then.

    Raises:
        LookaheadError: no such tokenizer.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.whole: Any = None if name in CUTTERS else _from_folder(name)
        self.cut = CUTTERS.get(name, self._pieces)

    def _pieces(self, text: str) -> list[str]:
        return self.whole.encode(text, add_special_tokens=False).tokens

    def join(self, tokens: Iterable[str]) -> str:
        """The text of some tokens; each field of an answer in a line of its own."""
        lines = [list[str]()]
        for token in tokens:
            if token == BETWEEN:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(map(self._line, lines))

    def _line(self, tokens: list[str]) -> str:
        if self.name == "bytes":
            return bytes(ord(token) for token in tokens).decode(errors="replace")
        if self.whole is not None and self.whole.decoder is not None:
            ids = [self.whole.token_to_id(token) for token in tokens]
            if ids and None not in ids:
                return self.whole.decode(ids, skip_special_tokens=False)
        return (" " if self.name == "words" else "").join(tokens)

    @property
    def checksum(self) -> str:
        """What tells a tokenizer from a folder from others; empty for those of the library."""
        if self.name in CUTTERS:
            return ""
        return hashlib.sha256((Path(self.name).expanduser() / "tokenizer.json").read_bytes()).hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _from_folder(name: str) -> Any:
    file = Path(name).expanduser() / "tokenizer.json"
    if not file.is_file():
        raise LookaheadError(
            f"unknown tokenizer {shown(name)}: {', '.join(CUTTERS)}, or a folder with a tokenizer.json ({file})"
        )
    try:
        import tokenizers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise LookaheadError(f"a tokenizer from a folder needs the package tokenizers ({error})") from error
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises plain ones
        raise LookaheadError(f"{file} is no tokenizer ({error})") from error


class Growing(dict[str, int]):
    """Ids of tokens in the order in which they are met."""

    def __missing__(self, token: str) -> int:
        found = self[token] = len(self)
        return found

    def ids(self, tokens: Iterable[str]) -> array[int]:
        """The ids of some tokens, new ones given to those not met before."""
        return array("i", map(self.__getitem__, tokens))
