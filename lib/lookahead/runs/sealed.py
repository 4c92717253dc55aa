"""Plain data as strict JSON with a checksum of their own: what was damaged is refused."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from lookahead.errors import Corrupt

SEAL = "sha256"
"""The key of the checksum."""


def without_nan(value: Any) -> Any:
    """Plain data with None for what is no finite number, since strict JSON has none."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: Any) -> Any:
    """Plain data with NaN for None: numbers as they were before `without_nan`."""
    if isinstance(value, dict):
        return {name: with_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_nan(part) for part in value]
    return math.nan if value is None else value


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data as they come back from strict JSON, and their checksum."""
    plain = json.loads(json.dumps(without_nan(dict(data)), allow_nan=False))
    return {**plain, SEAL: _checksum(plain)}


def check_seal(data: Mapping[str, Any], origin: str) -> None:
    """Refuses what is not as it was sealed.

    What has no seal was written by earlier code and passes: it is sealed when it is written again.

    Raises:
        Corrupt: the checksum is another.
    """
    seal = data.get(SEAL)
    if seal is not None and seal != _checksum({name: value for name, value in data.items() if name != SEAL}):
        raise Corrupt(f"{origin} is corrupt: its checksum does not match")


def _checksum(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
