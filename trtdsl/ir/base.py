"""``Layer``: what every layer of a network can do, ``infer``, ``evaluate`` and ``lower``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trtdsl.by_hand import require_count
from trtdsl.errors import ShapeError, explain
from trtdsl.types import Dim, TensorType, bind, symbols

if TYPE_CHECKING:
    from trtdsl.network import Network, Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Layer"]


class Layer(ABC):
    """A TensorRT layer with its attributes; a frozen dataclass, bare of the tensors it will read.

    ``Softmax(axis=1)(x)`` appends the layer to x's network and returns its output.

    Sizes among the attributes may be symbolic: ``infer`` computes with the expressions,
    ``evaluate`` is only ever called on ``bind(sizes)``, where every one of them is an int, and
    ``lower`` hands them to ``Api.shape_tensor``, which computes them inside the engine.
    """

    weight_operands: ClassVar[frozenset[int]] = frozenset()
    """The inputs that TensorRT takes as weights; ``lower`` gets constant ones as ``Folded``."""

    folds: ClassVar[bool] = True
    """Whether of constants it is a constant."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Append to the network of the inputs; the one output."""
        require_count(self, inputs)
        (output,) = self.outputs(*inputs)
        return output

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Append to the network of the inputs; all outputs."""
        return inputs[0].network.append(self, inputs)

    @abstractmethod
    def infer(self, *inputs: Any, **_: Any) -> Any:
        """The output's TensorType (a tuple of them for several outputs) for inputs' TensorTypes.

        Errors: ShapeError when the inputs do not fit the layer.
        """

    @abstractmethod
    def evaluate(self, *inputs: Any, **_: Any) -> Any:
        """What TensorRT computes, in PyTorch, on the device of the inputs."""

    @abstractmethod
    def lower(self, api: Api, *inputs: Any) -> Any:
        """Add the layer to a TensorRT network: ITensors in; an ILayer, ITensor or ITensors out."""

    def available(self, api: Api) -> bool:
        """Whether this TensorRT release has the layer; where not, ``expand`` is lowered."""
        return True

    def takes(self, *inputs: TensorType) -> bool:
        """Whether TensorRT's layer takes inputs of such types; where not, ``expand`` is lowered.

        The dtypes are those that the engine has: int32 for int64 on TensorRT 8.6.
        """
        return True

    def expand(self, *inputs: Any) -> Any:
        """The same meaning in layers that every release has: Tensors in, one or a tuple out."""
        raise ShapeError(f"{self}: this TensorRT release has no such layer")

    def require(self, condition: bool, message: str, *, fix: str | None = None) -> None:
        """Refuse inputs or attributes: ShapeError with the layer and what is wrong with it."""
        if not condition:
            raise ShapeError(explain(f"{self}: {message}", fix=fix))

    def require_floats(self, *types: TensorType) -> None:
        """Refuse inputs that are not of floats, or not all of one dtype."""
        alike = {x.dtype for x in types} == {types[0].dtype}
        given = ", ".join(map(str, types))
        message = f"takes floats, not {given}"
        if len(types) > 1:
            message = f"takes floats of one dtype: {given}"
        fix = "cast to float32 before it, which is exact for integers up to 2 ** 24"
        if not alike:
            dtypes = " or ".join(dict.fromkeys(x.dtype.value for x in types))
            fix = f"give all of them one dtype, {dtypes}: model.float(), model.half() or x.to(...)"
        self.require(alike and types[0].dtype.is_float, message, fix=fix)

    @property
    def networks(self) -> Mapping[str, Network]:
        """The networks that this layer is made of, by what they are to it."""
        return {}

    @property
    def kind(self) -> str:
        """The class as printed and in names of layers: ``convolution``, ``matrix_multiply``."""
        name = type(self).__name__
        return "".join(
            f"_{c.lower()}" if c.isupper() and i and not name[i - 1].isupper() else c.lower()
            for i, c in enumerate(name)
        )

    @property
    def decides(self) -> frozenset[str]:
        """The names of the symbols that this layer's outputs decide while the engine runs."""
        return frozenset()

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names of the symbolic sizes among the attributes that the layer reads."""
        named = frozenset(symbols(d for f in fields(self) for d in _dims(getattr(self, f.name))))  # type: ignore[arg-type]
        return named - self.decides

    def bind(self, sizes: Mapping[str, int]) -> Self:
        """The same layer with every symbolic attribute replaced by its int."""
        if not self.symbols:
            return self
        bound = {
            f.name: _bound(getattr(self, f.name), sizes)
            for f in fields(self)  # type: ignore[arg-type]
        }
        return replace(self, **bound)  # type: ignore[type-var]


def _dims(value: Any) -> list[Dim]:
    """The symbolic sizes in an attribute's value."""
    if isinstance(value, tuple):
        return [d for v in value for d in _dims(v)]
    return [value] if hasattr(value, "free_symbols") else []


def _bound(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, tuple):
        return tuple(_bound(v, sizes) for v in value)
    return bind(value, sizes) if hasattr(value, "free_symbols") else value
