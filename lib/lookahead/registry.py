"""Classes that are found by a name, and packages that import all that they hold."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from lookahead.errors import LookaheadError

REQUIRED = inspect.Parameter.empty
"""Stands for the default of an option that has none."""


class Named(ABC):
    """A base class whose subclasses, declared with `name=`, are found by that name: `Task.named("path_star")`."""

    name: ClassVar[str]
    known: ClassVar[dict[str, type[Any]]]
    supplied: ClassVar[frozenset[str]]
    """Constructor arguments that the harness supplies; all others are options."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Named in cls.__bases__:
            cls.known = {}
        if name is not None:
            cls.name = name
            cls.known[name] = cls

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """The subclass registered as `name`.

        Raises:
            LookaheadError: no such name; the message lists those there are.
        """
        if name not in cls.known:
            kind = cls.__name__.lower()
            raise LookaheadError(f"unknown {kind} {name!r}; known: {', '.join(sorted(cls.known))}")
        return cls.known[name]

    @classmethod
    def options(cls) -> dict[str, Any]:
        """What a run's configuration may set, with the defaults (`REQUIRED` where there is none)."""
        parameters = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in cls.supplied}

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


def import_all(package: str, path: Iterable[str]) -> None:
    """Imports every module and package inside a package, so that the classes there register themselves.

    Args:
        package: its `__name__`.
        path: its `__path__`.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
