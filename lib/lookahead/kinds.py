"""Kinds and ranges of what people set, said once in an annotation and checked here.

layers: Annotated[int, Range(least=1)]
learning_rate: Annotated[float, Range(above=0)]
precision: Literal["float32", "bfloat16"]
clip: float | None
rungs: Sequence[int]
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lookahead.errors import LookaheadError, shown

LARGEST = 2**53
"""Of whole numbers: a reader of JSON, and a float, tell all up to here apart."""


@dataclass(frozen=True)
class Range:
    """The bounds of a number."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {bound}" for word, bound in bounds.items() if math.isfinite(bound))


Count = Annotated[int, Range(least=1)]
"""How many, of what there must be one at least."""

Seed = Annotated[int, Range(least=0)]


def fit(name: str, value: Any, kind: Any) -> Any:
    """A value as what an annotation says.

    numpy's and torch's scalars become Python's, and 2.0 is a whole number. True is none, and 1 is not true: else one
    run would have two ids. Annotations other than those above are not judged.

    Raises:
        LookaheadError: another kind, or out of range; the message says `name`.
    """
    plain = value.item() if getattr(value, "shape", None) == () else value
    words = []
    for base, limits in _choices(kind):
        try:
            found = _as(name, plain, base)
        except ValueError as error:
            words.append(str(error))
            continue
        for limit in limits if _is_number(found) else ():
            if found not in limit:
                raise LookaheadError(f"{name} must be {limit}, not {shown(value)}")
        return found
    raise LookaheadError(f"{name} must be {' or '.join(words)}, not {shown(value)}")


def _choices(kind: Any, limits: tuple[Range, ...] = ()) -> Iterator[tuple[Any, tuple[Range, ...]]]:
    """The kinds that an annotation allows, each with its ranges."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        base, *more = typing.get_args(kind)
        yield from _choices(base, (*limits, *(limit for limit in more if isinstance(limit, Range))))
    elif origin in (typing.Union, types.UnionType):
        for one in typing.get_args(kind):
            yield from _choices(one, limits)
    else:
        yield kind, (*limits, Range(most=LARGEST)) if kind is int else limits


def _as(name: str, value: Any, kind: Any) -> Any:
    """A plain value as one of a kind.

    Raises:
        ValueError: it is none; the message says what would be one.
        LookaheadError: an item of it is none.
    """
    if kind is int:
        if _is_number(value) and (isinstance(value, int) or value.is_integer()):
            return int(value)
        raise ValueError("a whole number")
    if kind is float:
        if _is_number(value) and abs(value) <= sys.float_info.max:
            return value
        raise ValueError("a number")
    if kind is bool or kind is str or kind is type(None):
        if type(value) is kind:
            return value
        raise ValueError({bool: "true or false", str: "text"}.get(kind, "None"))
    if typing.get_origin(kind) in (list, Sequence):
        if isinstance(value, list | tuple):
            (item,) = typing.get_args(kind)
            return [fit(f"{name}[{i}]", one, item) for i, one in enumerate(value)]
        raise ValueError("a list")
    if typing.get_origin(kind) is Literal:
        allowed = typing.get_args(kind)
        if any(type(one) is type(value) and one == value for one in allowed):
            return value
        raise ValueError(f"one of {', '.join(map(str, allowed))}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def annotations_of(of: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a dataclass's fields, or of what another class's constructor takes.

    None are known where one of them cannot be evaluated.
    """
    try:
        return typing.get_type_hints(of if dataclasses.is_dataclass(of) else of.__init__, include_extras=True)
    except Exception:  # it is anybody's code
        return {}


def settle(instance: Any) -> None:
    """Fits every field of a frozen dataclass, for its `__post_init__`.

    Raises:
        LookaheadError: a value of another kind, or out of range.
    """
    kinds = annotations_of(type(instance))
    for item in dataclasses.fields(instance):
        if item.init:
            fitted = fit(item.name, getattr(instance, item.name), kinds.get(item.name, Any))
            object.__setattr__(instance, item.name, fitted)
