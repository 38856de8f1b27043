"""Classes made from the description of a release: every member checked, none hand-written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import behaviour
from .convert import bind, convert, normal
from .errors import MismatchError, MissingNameError, RefusedError, StandInError
from .signatures import Signature, parse

if TYPE_CHECKING:
    from .release import Release

# The type that a setter takes, where the getter, all that can be introspected, has another.
_SETTER_TYPES = {
    **dict.fromkeys(("kernel", "bias", "shift", "scale", "power", "weights"), "Weights"),
    **dict.fromkeys(("start", "shape", "stride", "axes", "reshape_dims"), "Dims"),
    **dict.fromkeys(("alpha", "beta"), "number"),
}
_PLAIN = {"Dims", "Dims2", "Dims3", "Dims4", "DimsHW", "Permutation", "Weights", "ITensor"}


class Call(NamedTuple):
    """One recorded call: the method, and its arguments by parameter name, defaults included."""

    method: str
    args: dict[str, Any]


class StandInType(type):
    """The type of a generated class, and of the classes that users derive from one."""

    release: Release
    generated: bool

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingNameError(f"{where(cls, name)}: no such name")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if not made._ready:
            base = next(c for c in cls.__mro__ if c.__dict__.get("generated"))
            raise RefusedError(
                f"{where(base, '__init__')} must be called by {cls.__name__}.__init__"
            )
        return made


class StandInObject(metaclass=StandInType):
    """An object of a generated class.

    ``calls`` lists the method calls that it took; ``state`` holds property values by name and what
    the behaviours remember. Neither exists in TensorRT.
    """

    calls: list[Call]
    state: dict[str, Any]
    _ready: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.__dict__.update(calls=[], state={}, _ready=False)
        return made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingNameError(f"{where(type(self), name)}: no such name")

    def __setattr__(self, name: str, value: Any) -> None:
        known = name == "state" or any(name in c.__dict__ for c in type(self).__mro__)
        if not known and type(self).__dict__.get("generated"):
            raise MissingNameError(f"{where(type(self), name)}: no such name to assign to")
        object.__setattr__(self, name, value)


def where(cls: type, member: str) -> str:
    """``TensorRT 10.0.1: IConvolutionLayer.stride``, as errors begin."""
    return f"TensorRT {cls.release.version}: {cls.__qualname__}.{member}"  # type: ignore[attr-defined]


def make_class(release: Release, name: str, spec: Mapping[str, Any], bases: tuple[Any, ...]) -> Any:
    """The class ``name`` of the release, with the members that its description lists."""
    namespace: dict[str, Any] = {
        "__module__": "tensorrt",
        "__qualname__": name,
        "__init__": _no_constructor(release, name),
        "release": release,
        "generated": True,
    }
    for member, texts in spec["methods"].items():
        if member != "__del__":
            namespace[member] = _method(release, name, member, [parse(t) for t in texts])
    for member, entry in spec["properties"].items():
        namespace[member] = _property(release, name, member, entry)
    if "__eq__" in namespace:
        namespace["__hash__"] = None
    return StandInType(name, bases or (StandInObject,), namespace)


def _no_constructor(release: Release, name: str) -> Callable[..., None]:
    def refuse(self: StandInObject, *args: Any, **kwargs: Any) -> None:
        raise RefusedError(f"TensorRT {release.version}: {name} has no constructor")

    return refuse


def call(
    release: Release, label: str, overloads: list[Signature], args: tuple[Any, ...], kwargs: Any
) -> tuple[Signature, dict[str, Any]]:
    """The first overload that takes the arguments, and these by name; else RefusedError."""
    reasons = []
    for signature in overloads:
        try:
            return signature, bind(release, signature, args, kwargs)
        except MismatchError as error:
            reasons.append(f"  {signature.text}\n    {error}")
    lines = "\n".join(reasons)
    raise RefusedError(f"TensorRT {release.version}: {label} refuses these arguments\n{lines}")


def _method(release: Release, cls: str, member: str, overloads: list[Signature]) -> Any:
    def method(self: StandInObject, *args: Any, **kwargs: Any) -> Any:
        signature, arguments = call(release, f"{cls}.{member}", overloads, args, kwargs)
        if member == "__init__":
            self.__dict__["_ready"] = True
        if not member.startswith("__"):
            self.calls.append(Call(member, arguments))
        behave = behaviour.of(type(self), member)
        if behave is not None:
            return behave(self, **arguments)
        return behaviour.result(release, self, f"{cls}.{member}", signature, arguments)

    method.__name__ = member
    method.__qualname__ = f"{cls}.{member}"
    method.__doc__ = "\n".join(s.text for s in overloads)
    if overloads[0].is_static:
        return staticmethod(lambda *args, **kwargs: method(StandInObject(), *args, **kwargs))
    return method


def _property(release: Release, cls: str, member: str, entry: Mapping[str, Any]) -> property:
    def get(self: StandInObject) -> Any:
        behave = behaviour.of(type(self), f"{member}.get")
        if behave is not None:
            return behave(self)
        if member not in self.state:
            raise StandInError(
                f"{where(type(self), member)} was never set, and the stand-in knows no default"
            )
        value = self.state[member]
        # Weights come back as the array that they were made of.
        return value.numpy() if type(value).__name__ == "Weights" else value

    def put(self: StandInObject, value: Any) -> None:
        try:
            value = _assigned(release, member, entry, value)
        except MismatchError as error:
            raise RefusedError(f"{where(type(self), member)} refuses the value: {error}") from error
        behave = behaviour.of(type(self), f"{member}.set")
        if behave is not None:
            behave(self, value)
        self.state[member] = value

    def read_only(self: StandInObject, value: Any) -> None:
        raise MissingNameError(f"{where(type(self), member)} is read-only")

    return property(get, read_only if entry["readonly"] else put, doc=entry.get("type"))


def _assigned(release: Release, member: str, entry: Mapping[str, Any], value: Any) -> Any:
    """The value that a setter stores; None unsets an object of its own, as a monitor."""
    expression = normal(entry.get("type", "object"))
    if expression in ("object", "numpy.ndarray"):
        expression = _SETTER_TYPES.get(member, expression)
    kind = release.kind(expression)
    if value is None and isinstance(kind, StandInType) and expression not in _PLAIN:
        return None
    return convert(release, expression, value)
