"""What an engine file says about itself: inputs, outputs, structure, and what it was built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trtdsl.errors import LoadError, explain
from trtdsl.profiles import Profile
from trtdsl.runtime.expression import symbols_of
from trtdsl.tree import Tree
from trtdsl.types import DimRange, DType

__all__ = ["FORMAT", "Manifest", "PluginName", "TensorSpec"]

FORMAT = "trtdsl-engine/2"


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of an engine.

    ``dtype`` is what the caller gives or gets. ``engine_dtype`` is what TensorRT has: int32 where
    the model has int64 and TensorRT (8.6) has not. Each size is an int or an expression over the
    symbols, such as ``"batch"`` or ``"2*batch + 1"``.
    """

    name: str
    dtype: DType
    engine_dtype: DType
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype.short}[{', '.join(map(str, self.shape))}]"

    @property
    def is_static(self) -> bool:
        """True when no size is symbolic."""
        return all(isinstance(size, int) for size in self.shape)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype.value,
            "engine_dtype": self.engine_dtype.value,
            "shape": list(self.shape),
        }

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> TensorSpec:
        shape = tuple(obj["shape"])
        if not all(type(size) in (int, str) for size in shape):
            raise ValueError(f"the shape {shape} of {obj['name']} holds more than ints and strings")
        return cls(
            name=str(obj["name"]),
            dtype=DType(obj["dtype"]),
            engine_dtype=DType(obj["engine_dtype"]),
            shape=shape,
        )


@dataclass(frozen=True, kw_only=True, order=True)
class PluginName:
    """A plugin that an engine holds: its name and version, and the module that has its class.

    A plugin of a library has no module; it has a namespace, mostly ``""``. One that is ``embedded``
    has its kernel in the plan, and needs no class.
    """

    name: str
    version: str
    module: str = ""
    namespace: str = ""
    embedded: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about an engine that its plan does not tell, or tells only to TensorRT.

    - ``inputs``, ``outputs``: one a tensor, in the order of the trees' leaves
    - ``input_tree``: the structure of ``(args, kwargs)``; ``output_tree``: of what a call returns
    - ``parameters``: the names of the model's positional parameters, in order
    - ``symbols``: the sizes that each symbol may have
    - ``profiles``: the ranges of each of TensorRT's optimization profiles, at least one, by index;
      ``trtdsl.profiles.choose`` finds the one for a call's sizes
    - ``precision``: what was asked of the build, such as ``"fp16"``
    - ``tensorrt``, ``compute_capability`` (``"9.0"``), ``device``, ``trtdsl``: what built it
    - ``refit``: the recipes of its weights as ``trtdsl.weights.recipe.Recipes`` writes them, None
      where it was built without; ``stripped``: whether the plan lacks the weights
    - ``version_compatible``: whether later releases of TensorRT load it; ``hardware``: the GPUs
      that it is for, one of ``trtdsl.options.HARDWARE``
    - ``plugins``: what must be imported, or loaded, before it is, unless it is embedded
    - ``sha256``, ``size``: of the plan; its bytes in hexadecimal, and their count
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_tree: Tree
    output_tree: Tree
    parameters: tuple[str, ...]
    symbols: dict[str, DimRange]
    profiles: tuple[Profile, ...]
    precision: str
    tensorrt: str
    compute_capability: str
    device: str
    sha256: str
    trtdsl: str
    size: int = 0
    refit: Mapping[str, Any] | None = None
    stripped: bool = False
    version_compatible: bool = False
    hardware: str = "same"
    plugins: tuple[PluginName, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data. Errors: ConversionError for a class that no import could find."""
        return {
            "format": FORMAT,
            "trtdsl": self.trtdsl,
            "tensorrt": self.tensorrt,
            "compute_capability": self.compute_capability,
            "device": self.device,
            "precision": self.precision,
            "sha256": self.sha256,
            "size": self.size,
            "refit": self.refit,
            "stripped": self.stripped,
            "version_compatible": self.version_compatible,
            "hardware": self.hardware,
            "plugins": [asdict(plugin) for plugin in self.plugins],
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "parameters": list(self.parameters),
            "symbols": _ranges_to_json(self.symbols),
            "profiles": [_ranges_to_json(profile) for profile in self.profiles],
            "input_tree": self.input_tree.to_json(),
            "output_tree": self.output_tree.to_json(),
        }

    @classmethod
    def from_json(cls, obj: Any) -> Manifest:
        """The manifest that ``to_json`` wrote. Errors: LoadError (format, damage)."""
        found = obj.get("format") if isinstance(obj, Mapping) else None
        if found != FORMAT:
            raise LoadError(
                explain(
                    f"the manifest's format is {found!r}, and this trtdsl reads {FORMAT!r}",
                    fix="save the engine again with this trtdsl, or install the one that wrote it",
                )
            )
        try:
            manifest = cls._read(obj)
        except KeyError as error:
            raise LoadError(f"the manifest lacks the field {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise LoadError(f"the manifest is damaged: {error}") from error
        manifest._check_counts()
        manifest._check_symbols()
        return manifest

    @classmethod
    def _read(cls, obj: Mapping[str, Any]) -> Manifest:
        words = ("precision", "tensorrt", "compute_capability", "device", "sha256", "trtdsl")
        return cls(
            inputs=tuple(TensorSpec.from_json(spec) for spec in obj["inputs"]),
            outputs=tuple(TensorSpec.from_json(spec) for spec in obj["outputs"]),
            input_tree=Tree.from_json(obj["input_tree"]),
            output_tree=Tree.from_json(obj["output_tree"]),
            parameters=tuple(str(name) for name in obj["parameters"]),
            symbols=_ranges_from_json(obj["symbols"]),
            profiles=tuple(_ranges_from_json(profile) for profile in obj["profiles"]),
            size=int(obj["size"]),
            refit=_mapping(obj["refit"]),
            stripped=bool(obj["stripped"]),
            version_compatible=bool(obj["version_compatible"]),
            hardware=str(obj["hardware"]),
            plugins=tuple(PluginName(**_mapping(plugin) or {}) for plugin in obj["plugins"]),
            **{word: str(obj[word]) for word in words},
        )

    def _check_counts(self) -> None:
        for what, specs, tree in (
            ("inputs", self.inputs, self.input_tree),
            ("outputs", self.outputs, self.output_tree),
        ):
            if len(specs) != tree.num_leaves:
                raise LoadError(
                    f"the manifest lists {len(specs)} {what}, and its structure of them holds "
                    f"{tree.num_leaves} tensors"
                )

    def _check_symbols(self) -> None:
        given: set[str] = set()
        for spec in self.inputs:
            sizes = (size for size in spec.shape if isinstance(size, str))
            named = {name for size in sizes for name in symbols_of(size)}
            given |= named
            unknown = named - self.symbols.keys()
            if unknown:
                raise LoadError(
                    f"the manifest's input {spec} has the symbols {sorted(unknown)}, "
                    f"and ranges only for {sorted(self.symbols)}"
                )
        if not self.profiles or any(profile.keys() != given for profile in self.profiles):
            raise LoadError(
                f"the manifest's profiles {[sorted(p) for p in self.profiles]} do not give a range "
                f"to each of the inputs' symbols {sorted(given)}"
            )


def _mapping(obj: Any) -> Mapping[str, Any] | None:
    if obj is not None and not isinstance(obj, Mapping):
        raise TypeError(f"refit is {obj!r}")
    return obj


def _ranges_to_json(ranges: Mapping[str, DimRange]) -> dict[str, Any]:
    return {name: asdict(size) for name, size in ranges.items()}


def _ranges_from_json(obj: Mapping[str, Any]) -> dict[str, DimRange]:
    return {name: _range_from_json(size) for name, size in obj.items()}


def _range_from_json(obj: Mapping[str, Any]) -> DimRange:
    size = DimRange(min=int(obj["min"]), opt=int(obj["opt"]), max=int(obj["max"]))
    if not 0 <= size.min <= size.opt <= size.max:
        raise ValueError(f"the range {size} is not min..opt..max")
    return size
