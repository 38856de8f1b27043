"""C++ objects made in Python: a table of virtual functions whose slots are Python methods.

TensorRT 8 takes plugins as C++ objects only. Its interfaces are a stable binary interface: classes
of single inheritance without data, so that an object of one is a pointer to a table of functions,
laid out as the Itanium C++ ABI has it (x86-64, GCC and Clang): offset to the top, type information,
then a pointer for each virtual function in the order of declaration, two for a destructor.
"""

from __future__ import annotations

import ctypes
import platform
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trtdsl.errors import UnavailableError

__all__ = ["Class", "Method", "Owner", "call", "require_known_abi"]

Pointer = ctypes.c_void_p


class Owner(Protocol):
    """What stands behind a C++ object; it has a method for every slot."""

    def failed(self, error: BaseException) -> None:
        """Take an exception that cannot pass through C++."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A virtual function: its name in Python, its C types, and what it gives when Python fails.

    A class that does not fit two registers is returned through a pointer: ``by_memory`` is its C
    type, and the Python method gets one of them to fill in as its first argument.
    """

    name: str
    gives: Any = None
    takes: tuple[Any, ...] = ()
    otherwise: Any = None
    by_memory: type[ctypes.Structure] | None = None


def require_known_abi() -> None:
    """Errors: UnavailableError on a machine whose calling convention is not known here."""
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        raise UnavailableError(
            f"Python plugins for TensorRT 8 need Linux on x86-64, not {platform.system()} on "
            f"{platform.machine()}; TensorRT 10 and later take them anywhere"
        )


class _Table(ctypes.Structure):
    """What std::type_info is laid out as: the table of its own class, and a name."""

    _fields_ = (("table", Pointer), ("name", ctypes.c_char_p))


@dataclass
class Class:
    """A C++ class whose virtual functions are the methods of Python objects.

    ``name`` is what run-time type information calls it. Objects live until ``delete``.
    """

    name: str
    methods: Sequence[Method]
    live: dict[int, tuple[Owner, Any]] = field(default_factory=dict, repr=False)
    """By address, the object in Python and its memory."""

    def __post_init__(self) -> None:
        require_known_abi()
        self._slots = [self._slot(method) for method in self.methods]
        addresses = [ctypes.cast(slot, Pointer).value for slot in self._slots]
        self._type = _type_info(self.name)
        table = [0, ctypes.addressof(self._type), *addresses]
        self._table = (Pointer * len(table))(*table)
        self._first = ctypes.addressof(self._table) + 2 * ctypes.sizeof(Pointer)

    def new(self, owner: Owner) -> int:
        """The address of a new object, all of whose calls go to ``owner``."""
        memory = (Pointer * 1)(self._first)
        address = ctypes.addressof(memory)
        self.live[address] = owner, memory
        return address

    def delete(self, address: int) -> None:
        """Forget an object; its address must not be used again."""
        self.live.pop(address, None)

    def owner(self, address: int) -> Owner:
        return self.live[address][0]

    def _slot(self, method: Method) -> Any:
        hidden = () if method.by_memory is None else (ctypes.POINTER(method.by_memory),)
        gives = method.gives if method.by_memory is None else Pointer
        kind = ctypes.CFUNCTYPE(gives, *hidden, Pointer, *method.takes)
        return kind(self._by_memory(method) if hidden else self._plain(method))

    def _plain(self, method: Method) -> Callable[..., Any]:
        name, live, otherwise = method.name, self.live, method.otherwise

        def function(this: int, *args: Any) -> Any:
            owner = live[this][0]
            try:
                return getattr(owner, name)(*args)
            except BaseException as error:
                _report(owner, error)
                return otherwise

        return function

    def _by_memory(self, method: Method) -> Callable[..., Any]:
        name, live = method.name, self.live

        def function(result: Any, this: int, *args: Any) -> Any:
            owner = live[this][0]
            try:
                getattr(owner, name)(result.contents, *args)
            except BaseException as error:
                _report(owner, error)
                ctypes.memset(result, 0xFF, ctypes.sizeof(result.contents))  # a rank of -1
            return ctypes.addressof(result.contents)

        return function


def call(address: int, slot: int, gives: Any, takes: Sequence[Any], *args: Any) -> Any:
    """Call virtual function ``slot`` of a C++ object that TensorRT owns."""
    table = ctypes.cast(address, ctypes.POINTER(ctypes.POINTER(Pointer)))
    return ctypes.CFUNCTYPE(gives, Pointer, *takes)(table[0][slot])(address, *args)


def _report(owner: Owner, error: BaseException) -> None:
    try:
        owner.failed(error)
    except BaseException:
        traceback.print_exc()  # nothing may pass through C++


def _type_info(name: str) -> _Table:
    """Run-time type information of a class without bases, which pybind11 asks objects for."""
    library = ctypes.CDLL("libstdc++.so.6")
    kind = ctypes.c_char.in_dll(library, "_ZTVN10__cxxabiv117__class_type_infoE")
    first = ctypes.addressof(kind) + 2 * ctypes.sizeof(Pointer)
    return _Table(first, name.encode())
