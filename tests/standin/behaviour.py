"""What the few members do that must do something; the others check, record and answer by type.

A behaviour is found by the class that defines it and the member: ``ILayer.get_output``;
``name.get`` and ``name.set`` belong to properties. Every other method answers by its return type:
None, True, or a new object of the class that the signature names. A method that returns a number
or a text is refused: the stand-in would have to make it up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .convert import normal
from .errors import StandInError

if TYPE_CHECKING:
    from .objects import StandInObject
    from .release import Release
    from .signatures import Signature

_BEHAVIOURS: dict[str, Callable[..., Any]] = {}


def behaves(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the behaviour of ``Class.member``, under several names where classes share it."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            _BEHAVIOURS[name] = function
        return function

    return register


def of(cls: type, member: str) -> Callable[..., Any] | None:
    """The behaviour of a member, the most derived class first."""
    for base in cls.__mro__:
        if found := _BEHAVIOURS.get(f"{base.__name__}.{member}"):
            return found
    return None


def result(
    release: Release,
    owner: StandInObject,
    label: str,
    signature: Signature,
    arguments: Mapping[str, Any],
) -> Any:
    """The answer of a method without a behaviour of its own."""
    from .network import add_layer, is_layer
    from .objects import StandInType

    name = normal(signature.returns)
    kind = release.kind(name)
    if is_layer(kind):
        return add_layer(owner, kind, arguments)
    if isinstance(kind, StandInType):
        made = release.new(name)
        made.state["owner"] = owner
        return made
    if name == "None":
        return None
    if name == "bool":
        return True
    if name == "function":
        return lambda decorated: decorated
    known, answer = _recalled(owner, label.rpartition(".")[2], arguments)
    if known:
        return answer
    raise StandInError(
        f"TensorRT {release.version}: {label} returns {signature.returns};"
        " the stand-in has none to give"
    )


def _recalled(owner: StandInObject, member: str, arguments: Mapping[str, Any]) -> tuple[bool, Any]:
    """What ``set_x(*key, *values)`` stored, for ``get_x(*key)``: a value, or the list of them."""
    key = list(arguments.values())
    for past in reversed(owner.calls):
        given = list(past.args.values())
        if past.method == member.replace("get_", "set_", 1) and given[: len(key)] == key:
            values = given[len(key) :]
            return True, values[0] if len(values) == 1 else values
    return False, None
