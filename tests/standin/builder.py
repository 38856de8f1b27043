"""Behaviours of Builder, its configuration and profiles."""

from __future__ import annotations

from typing import Any

from .behaviour import behaves
from .errors import StandInError
from .network import start, strongly_typed
from .objects import StandInObject, where

_TYPE_FLAGS = {"FP16", "BF16", "INT8", "FP8", "INT4", "FP4"}
_TYPE_FLAGS |= {"OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"}


@behaves("Builder.__init__")
def _builder(self: StandInObject, logger: StandInObject) -> None:
    self.state |= {"logger": logger, "num_DLA_cores": 0, "max_DLA_batch_size": 0}
    features = ("platform_has_fast_fp16", "platform_has_fast_int8", "platform_has_tf32")
    self.state |= dict.fromkeys(features, True)


@behaves("Builder.create_network")
def _create_network(self: StandInObject, flags: int) -> StandInObject:
    members = self.release.module.NetworkDefinitionCreationFlag.__members__
    names = {name for name, member in members.items() if flags >> int(member) & 1}
    label = where(type(self), "create_network")
    if flags >> len(members):
        raise StandInError(f"{label}: flags {flags:#b} are more than {list(members)}")
    if self.release.major < 10 and "EXPLICIT_BATCH" not in names:
        raise StandInError(f"{label}: without EXPLICIT_BATCH the batch would be implicit")
    network = self.release.new("INetworkDefinition")
    start(network, names, self)
    return network


@behaves("Builder.build_serialized_network")
def _build(
    self: StandInObject, network: StandInObject, config: StandInObject, kernel_text: object = None
) -> Any:
    """Some bytes; or None after a message to the logger, where TensorRT does the same."""
    clash = _TYPE_FLAGS & config.state.get("flag_names", set())
    if strongly_typed(network) and clash:
        raise StandInError(
            f"{where(type(self), 'build_serialized_network')}: {sorted(clash)}"
            " on a strongly typed network"
        )
    if problem := _problem(network, config):
        severity = self.release.module.ILogger.Severity.ERROR
        self.state["logger"].log(severity, f"Error Code 4: API Usage Error ({problem})")
        return None
    layers = [type(layer).__name__ for layer in network.state["layers"]]
    return self.release.memory(f"stand-in plan {self.release.version}: {layers}".encode())


def _problem(network: StandInObject, config: StandInObject) -> str | None:
    if not network.state["outputs"]:
        return "Network must have at least one output"
    dynamic = any(-1 in list(t.shape) for t in network.state["inputs"])
    if dynamic and not config.state.get("profiles"):
        return "Network has dynamic or shape inputs, but no optimization profile has been defined."
    return None


@behaves("IBuilderConfig.set_flag")
def _set_flag(self: StandInObject, flag: Any) -> None:
    self.state.setdefault("flag_names", set()).add(flag.name)


@behaves("IBuilderConfig.clear_flag")
def _clear_flag(self: StandInObject, flag: Any) -> None:
    self.state.setdefault("flag_names", set()).discard(flag.name)


@behaves("IBuilderConfig.get_flag")
def _get_flag(self: StandInObject, flag: Any) -> bool:
    return flag.name in self.state.get("flag_names", ())


@behaves("IBuilderConfig.flags.get")
def _flags(self: StandInObject) -> int:
    members = self.release.module.BuilderFlag.__members__
    return sum(1 << int(members[name]) for name in self.state.get("flag_names", ()))


@behaves("IBuilderConfig.flags.set")
def _put_flags(self: StandInObject, value: int) -> None:
    members = self.release.module.BuilderFlag.__members__
    self.state["flag_names"] = {n for n, m in members.items() if value >> int(m) & 1}


@behaves("IBuilderConfig.add_optimization_profile")
def _add_profile(self: StandInObject, profile: StandInObject) -> int:
    self.state.setdefault("profiles", []).append(profile)
    return len(self.state["profiles"]) - 1


@behaves("IBuilderConfig.num_optimization_profiles.get")
def _num_profiles(self: StandInObject) -> int:
    return len(self.state.get("profiles", ()))


@behaves("IBuilderConfig.set_timing_cache")
def _set_timing_cache(self: StandInObject, cache: Any, ignore_mismatch: bool) -> bool:
    self.state["timing_cache"] = cache
    return True


@behaves("IBuilderConfig.get_timing_cache")
def _get_timing_cache(self: StandInObject) -> Any:
    return self.state.get("timing_cache")


@behaves("IBuilderConfig.create_timing_cache")
def _create_timing_cache(self: StandInObject, serialized_timing_cache: Any) -> StandInObject:
    cache = self.release.new("ITimingCache")
    cache.state["bytes"] = bytes(serialized_timing_cache)
    return cache


@behaves("ITimingCache.serialize")
def _serialize(self: StandInObject) -> Any:
    return self.release.memory(self.state["bytes"] or b"stand-in timing cache")


@behaves("IOptimizationProfile.set_shape", "IOptimizationProfile.set_shape_input")
def _set_shape(self: StandInObject, input: str, min: Any, opt: Any, max: Any) -> None:
    if not len(min) == len(opt) == len(max):
        raise StandInError(f"{where(type(self), 'set_shape')}: {input!r}: {min}, {opt}, {max}")
    for low, best, high in zip(min, opt, max, strict=True):
        if not low <= best <= high:
            raise StandInError(
                f"{where(type(self), 'set_shape')}: {input!r}: not {min} <= {opt} <= {max}"
            )
