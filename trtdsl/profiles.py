"""Optimization profiles: the ranges of sizes that an engine is tuned for, and the choice of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from trtdsl.errors import BuildError, RunError, explain
from trtdsl.types import DimRange, symbols

if TYPE_CHECKING:
    from trtdsl.network import Network

__all__ = ["Profile", "choose", "given_sizes", "hull", "parse", "spans"]

Profile: TypeAlias = dict[str, DimRange]
"""The range of each symbolic size, by its name; empty where every size is fixed."""

_FORM = 'profiles=[{"batch": (1, 1, 1)}, {"batch": (8, 16, 32)}], each (min, opt, max)'


def parse(given: Any, symbols: Mapping[str, DimRange]) -> tuple[Profile, ...]:
    """Profiles as a user gives them, within the sizes that a network may have.

    A profile names sizes and gives each a ``(min, opt, max)``, or one int for all three; a size
    that it leaves out keeps the network's range. ``None`` is one profile of the network's ranges.
    Errors: BuildError for anything else, an unknown size, or one outside of the network's range.
    """
    if given is None:
        return (dict(symbols),)
    mappings = isinstance(given, list | tuple) and all(isinstance(p, Mapping) for p in given)
    if not mappings or not given:
        raise BuildError(explain(f"profiles is {given!r}", fix=_FORM))
    return tuple(_profile(profile, symbols) for profile in given)


def given_sizes(network: Network) -> dict[str, DimRange]:
    """The symbolic sizes that the inputs' shapes decide, and not the values in them."""
    given = symbols(d for x in network.inputs for d in x.shape)
    return {name: range_ for name, range_ in network.symbols.items() if name in given}


def _profile(given: Mapping[str, Any], symbols: Mapping[str, DimRange]) -> Profile:
    unknown = [name for name in given if name not in symbols]
    if unknown:
        sizes = ", ".join(symbols) or "none: every size is fixed"
        raise BuildError(
            explain(
                f"a profile names {', '.join(map(repr, unknown))}; the dynamic sizes are {sizes}",
                fix="name the Dims of dynamic_shapes",
            )
        )
    return {
        name: _range(name, given[name], within) if name in given else within
        for name, within in symbols.items()
    }


def _range(name: str, given: Any, within: DimRange) -> DimRange:
    if isinstance(given, DimRange):
        given = (given.min, given.opt, given.max)
    sizes = (given,) * 3 if type(given) is int else given
    three = isinstance(sizes, list | tuple) and len(sizes) == 3
    if not three or not all(type(size) is int for size in sizes):
        raise BuildError(explain(f"a profile gives {name} as {given!r}", fix=_FORM))
    low, best, high = sizes
    if not low <= best <= high:
        raise BuildError(f"a profile gives {name} as {tuple(sizes)}: not min <= opt <= max")
    if low < within.min or high > within.max:
        raise BuildError(
            explain(
                f"a profile gives {name} as {low}..{high}, outside of the model's "
                f"{within.min}..{within.max}",
                fix=f'Dim("{name}", min={min(low, within.min)}, max={max(high, within.max)})',
            )
        )
    return DimRange(min=low, opt=best, max=high)


def choose(profiles: Sequence[Profile], sizes: Mapping[str, int]) -> int:
    """The index of the first profile that has these sizes of the symbols.

    Errors: RunError prints the sizes and the ranges of every profile.
    """
    for index, profile in enumerate(profiles):
        ranged = ((profile[name], size) for name, size in sizes.items())
        if all(range_.min <= size <= range_.max for range_, size in ranged):
            return index
    given = ", ".join(f"{name}={size}" for name, size in sizes.items())
    lines = (f"\n  profile {i}: {_text(profile)}" for i, profile in enumerate(profiles))
    raise RunError(
        explain(
            f"no profile of the engine has {given}:{''.join(lines)}",
            fix="give sizes within one profile, or convert with a profile that has them",
        )
    )


def hull(profiles: Sequence[Profile]) -> Profile:
    """For each size the smallest range with all of the profiles', tuned as the first is."""
    return {
        name: DimRange(
            min=min(profile[name].min for profile in profiles),
            opt=first.opt,
            max=max(profile[name].max for profile in profiles),
        )
        for name, first in profiles[0].items()
    }


def spans(profiles: Sequence[Profile], name: str) -> str:
    """The ranges of one size, each once: ``1..1 or 8..32``."""
    ranges = (profile[name] for profile in profiles)
    return " or ".join(dict.fromkeys(f"{range_.min}..{range_.max}" for range_ in ranges))


def _text(profile: Profile) -> str:
    return ", ".join(f"{name} {range_.min}..{range_.max}" for name, range_ in profile.items())
