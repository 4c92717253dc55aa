"""Classes that are found by a name, and packages that import all that they hold."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from abc import ABC
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from lookahead.errors import LookaheadError, shown
from lookahead.kinds import annotations_of, fit

REQUIRED = inspect.Parameter.empty
"""Stands for the default of an option that has none."""


class Named(ABC):
    """A base class whose subclasses, declared with `name=`, are found by that name: `Task.named("path_star")`.

    A class that is defined anew, as when a cell of a notebook is executed again, takes its own place.

    Raises:
        LookaheadError: a subclass takes the name of another one.
    """

    name: ClassVar[str]
    known: ClassVar[dict[str, type[Any]]]
    supplied: ClassVar[frozenset[str]]
    """Constructor arguments that the harness supplies; all others are options."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Named in cls.__bases__:
            cls.known = {}
        if name is not None:
            there = cls.known.get(name)
            if there is not None and (there.__module__, there.__qualname__) != (cls.__module__, cls.__qualname__):
                raise LookaheadError(f"{name!r} is {there.__module__}.{there.__qualname__}: take another name")
            cls.name = name
            cls.known[name] = cls

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """The subclass registered as `name`.

        Raises:
            LookaheadError: no such name; the message lists those there are.
        """
        if not isinstance(name, str) or name not in cls.known:
            kind = cls.__name__.lower()
            raise LookaheadError(f"unknown {kind} {shown(name)}; known: {', '.join(sorted(cls.known))}")
        return cls.known[name]

    @classmethod
    def options(cls) -> dict[str, Any]:
        """What a run's configuration may set, with the defaults (`REQUIRED` where there is none)."""
        return {name: default for name, default in _defaults(cls).items() if name not in cls.supplied}

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """The annotations of the options, as far as there are any."""
        return annotations_of(cls)

    @classmethod
    def checked(cls, **options: Any) -> dict[str, Any]:
        """Options as what their annotations say (see `kinds.fit`).

        Raises:
            LookaheadError: an option of another kind, or out of range.
        """
        kinds = cls.kinds()
        return {name: fit(name, value, kinds.get(name, Any)) for name, value in options.items()}

    @classmethod
    def class_in(cls, package: str, class_name: str) -> type[Self]:
        """The registered class of that name that a package holds, for the package's `__getattr__`.

        Raises:
            AttributeError: the package holds no such class.
        """
        for found in cls.known.values():
            if found.__name__ == class_name and found.__module__.startswith(f"{package}."):
                return found
        raise AttributeError(f"module {package!r} has no attribute {class_name!r}")


@functools.cache
def _defaults(cls: type[Named]) -> dict[str, Any]:
    """Constructor arguments and their defaults; a store asks for them once a result."""
    return {p.name: p.default for p in inspect.signature(cls).parameters.values()}


def import_all(package: str, path: Iterable[str]) -> None:
    """Imports every module and package inside a package, so that the classes there register themselves.

    Args:
        package: its `__name__`.
        path: its `__path__`.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
