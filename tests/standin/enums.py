"""Enumerations as pybind11 makes them: not ints; ``int(member)`` is the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import MissingNameError, RefusedError

_ARITHMETIC = {"ILogger.Severity"}
"""Of the enums bound with ``py::arithmetic``, those whose order code relies on."""


class EnumType(type):
    """The type of an enumeration; refuses a member that the release lacks."""

    __members__: dict[str, EnumMember]
    release: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingNameError(
            f"TensorRT {cls.release}: {cls.__qualname__} has no member {name};"
            f" it has {', '.join(cls.__members__)}"
        )

    def __call__(cls, value: int) -> EnumMember:
        for member in cls.__members__.values():
            if member.value == value:
                return member
        raise RefusedError(f"TensorRT {cls.release}: {cls.__qualname__} has no value {value!r}")


class EnumMember:
    """One member of an enumeration."""

    name: str
    value: int

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash((type(self).__qualname__, self.value))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"


def _ordered(symbol: str) -> Any:
    def compare(self: EnumMember, other: object) -> bool:
        return bool(getattr(int, symbol)(self.value, int(other)))  # type: ignore[call-overload]

    return compare


def make_enum(release: str, name: str, values: Mapping[str, int]) -> EnumType:
    """Make the enumeration ``name``; a dotted name is nested in a class."""
    namespace: dict[str, Any] = {
        "__module__": "tensorrt",
        "__qualname__": name,
        "release": release,
        "__members__": {},
    }
    if name in _ARITHMETIC:
        namespace |= {op: _ordered(op) for op in ("__lt__", "__le__", "__gt__", "__ge__")}
    kind = EnumType(name.rpartition(".")[2], (EnumMember,), namespace)
    for label, value in values.items():
        member = object.__new__(kind)
        member.name, member.value = label, value
        kind.__members__[label] = member
        setattr(kind, label, member)
    return kind
