"""``Api``: a TensorRT network under construction, whatever the release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, explain
from trtdsl.tensorrt_api.release import (
    NAMES,
    data_type,
    is_strongly_typed,
    refits_one_by_one,
)
from trtdsl.types import Dim, DimRange, DType
from trtdsl.weights.folded import Folded, Placed, narrow, require_finite

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Operation, Tensor

__all__ = ["Api"]


class Api:
    """A TensorRT network under construction.

    ``api.add_softmax(x)`` is ``INetworkDefinition.add_softmax(x)``, except that None is an error
    and that the layer is noted in ``created``, where the lowering finds it to give it a name and
    types.
    """

    def __init__(
        self,
        trt: Any,
        network: Any,
        errors: Callable[[], Sequence[str]] = list,
        forget_errors: Callable[[], None] = lambda: None,
    ) -> None:
        self.trt = trt
        self.network = network
        self.strongly_typed = is_strongly_typed(trt)
        self.created: list[Any] = []
        self.symbols: dict[str, Callable[[], Any]] = {}
        """By name of a symbolic size, what adds the layers that read it; gives an ITensor (1,)."""
        self.ranges: Mapping[str, DimRange] = {}
        """By name of a symbolic size, the values that it may have."""
        self.forget_errors = forget_errors
        self.errors = errors
        self.operation: Operation | None = None
        """What is being lowered."""
        self.imposes_types = False
        """Whether 16-bit types occur in a network that is not strongly typed."""
        self.infers = True
        """Whether shapes and dtypes are inferred, as a mere stand-in for a release does not."""
        self.labelled: set[int] = set()
        """Which of the layers have their names, by ``id``: those of a network in a layer do."""
        self.bounds_infinity = trt.__version__.startswith("8.")
        """Whether an infinite constant that broadcasts is read as 1e38, as TensorRT 8.6 does."""
        self._names: set[str] = set()
        self._sizes: dict[Any, Any] = {}
        self.placed: list[Placed] = []
        """The weights, whose memory TensorRT reads until the build ends: it makes no copies."""
        self.origins: dict[Tensor, Tensor] = {}
        """The constants of layers that were expanded, and those of the network that they are."""
        self.plugins: list[Any] = []
        """Plugins written in Python, which live as long as the network that they are in."""
        self.architecture: str | None = None
        """The compute capability, as ``"80"``, of kernels that an engine holds; else this GPU's."""
        self._sizes_at: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return self._noting(self.network, name)

    def _noting(self, owner: Any, name: str) -> Any:
        """The method ``add_*`` of a network or a loop, except that None is an error."""
        if not name.startswith("add_"):
            raise AttributeError(name)
        method = getattr(owner, name)

        def add(*args: Any, **kwargs: Any) -> Any:
            layer = self._accepted(method(*args, **kwargs), name)
            self.created.append(layer)
            return layer

        return add

    def _accepted(self, made: Any, name: str) -> Any:
        if made is None:
            said = "; ".join(self.errors()) or "no reason was logged"
            raise BuildError(f"TensorRT refused {name}: {said}")
        return made

    def loop(self) -> Any:
        """A new ILoop, whose layers are noted as the network's own are. Errors: BuildError."""
        return _Noted(self, self._accepted(self.network.add_loop(), "add_loop"))

    def name(self, layer: Any, name: str) -> None:
        """Name a layer; TensorRT wants its names distinct, so a number sets a second one apart."""
        unique = name
        count = 1
        while unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        self._names.add(unique)
        layer.name = unique

    def raise_errors(self) -> None:
        """BuildError with what TensorRT has logged: its setters refuse a value in no other way."""
        if said := self.errors():
            raise BuildError(f"TensorRT refused an attribute: {'; '.join(said)}")

    def has(self, name: str) -> bool:
        """Whether this release has a method of INetworkDefinition, such as ``add_squeeze``."""
        return hasattr(self.trt.INetworkDefinition, name)

    def has_enum(self, enum: str, member: Enum) -> bool:
        return hasattr(getattr(self.trt, enum), member.name)

    def enum(self, enum: str, member: Enum) -> Any:
        """TensorRT's member of the same name. Errors: BuildError when this release has none."""
        if not self.has_enum(enum, member):
            raise BuildError(f"TensorRT {self.trt.__version__} has no {enum}.{member.name}")
        return getattr(getattr(self.trt, enum), member.name)

    @property
    def fill_takes_dtype(self) -> bool:
        """Whether ``add_fill`` is told the dtype of what it makes (10.0 and later)."""
        return hasattr(self.trt.IFillLayer, "to_type")

    @property
    def has_int64(self) -> bool:
        return hasattr(self.trt.DataType, "INT64")

    def physical(self, dtype: DType) -> DType:
        """The dtype that such a value has in the engine.

        TensorRT 8.6 has int32 for int64, and every release for int8, which is quantized floats.
        """
        narrow = dtype is DType.INT64 and not self.has_int64
        return DType.INT32 if narrow or dtype is DType.INT8 else dtype

    def dtype(self, dtype: DType) -> Any:
        """TensorRT's name for a dtype. Errors: BuildError when this release has no such type."""
        name = NAMES[self.physical(dtype)]
        if not hasattr(self.trt.DataType, name):
            raise BuildError(
                explain(
                    f"TensorRT {self.trt.__version__} has no {dtype.value}",
                    fix="use TensorRT 10 or later, or another precision",
                )
            )
        return getattr(self.trt.DataType, name)

    def cast(self, x: Any, dtype: DType) -> Any:
        """An ITensor (or a layer's first output) in this dtype."""
        x = x.get_output(0) if hasattr(x, "get_output") else x
        return self.add_cast(x, self.dtype(dtype)).get_output(0)

    def int8_and_back(self, x: Any, scale: Any, dtype: DType) -> tuple[Any, Any]:
        """A layer that quantizes and one that gives ``dtype`` again; 10.0 and later are told so."""
        types = hasattr(self.trt.IQuantizeLayer, "to_type")
        int8, floats = (data_type(self.trt, d) for d in (DType.INT8, dtype))
        to = self.add_quantize(x, scale, *[int8] * types)
        return to, self.add_dequantize(to.get_output(0), scale, *[floats] * types)

    def tensor(self, operand: Any) -> Any:
        """An operand as an ITensor."""
        return operand.itensor() if isinstance(operand, Folded) else operand

    def weights(self, operand: Folded | torch.Tensor, source: Tensor | None = None) -> Any:
        """An operand as ``tensorrt.Weights``, which share its memory.

        ``source`` is the network's tensor that a PyTorch tensor is the value of.
        """
        import torch

        value = operand.tensor if isinstance(operand, Folded) else operand.cpu().contiguous()
        source = operand.source if isinstance(operand, Folded) else source
        if isinstance(operand, Folded) and value.dtype in (torch.float16, torch.bfloat16):
            require_finite(value, operand.name)
        if value.dtype is torch.int64 and not self.has_int64:
            value = narrow(value)
        if value.numel() == 0:
            return self.no_weights(DType.of(value.dtype))
        if self._sizes_at.setdefault(value.data_ptr(), value.nbytes) != value.nbytes:
            value = value.clone()  # TensorRT tells weights by their address when it names them
        if value.dtype is torch.bfloat16:
            kind = self.dtype(DType.BFLOAT16)
            made = self.trt.Weights(kind, value.data_ptr(), value.numel())
        else:
            made = self.trt.Weights(value.numpy())
        self.placed.append(Placed(weights=made, value=value, source=source))
        return made

    def name_weights(self, weights: Any, name: str, *, refittable: bool) -> bool:
        """Name weights that layers use already; False where TensorRT refuses.

        Where a release marks refittable weights one by one, these are marked, or not.
        """
        if not self.network.set_weights_name(weights, name):
            return False
        one_by_one = refittable and refits_one_by_one(self.trt)
        return not one_by_one or bool(self.network.mark_weights_refittable(name))

    def no_weights(self, dtype: DType) -> Any:
        """Empty weights, which TensorRT reads as "none"."""
        return self.trt.Weights(self.dtype(dtype))

    def constant(self, value: torch.Tensor, source: Tensor | None = None) -> Any:
        """A constant layer's output; bool and uint8, of which TensorRT has none, are cast to."""
        import torch

        if value.dtype is torch.bool:
            return self.cast(self.constant(value.int(), source), DType.BOOL)
        if value.dtype is torch.uint8:  # which TensorRT makes of floats only
            return self.cast(self.constant(value.float(), source), DType.UINT8)
        layer = self.add_constant(list(value.shape), self.weights(value, source))
        if value.is_floating_point() and self.imposes_types:
            # Left open, float32 constants beside float16 layers may become float16.
            layer.set_output_type(0, self.dtype(DType.of(value.dtype)))
        return layer.get_output(0)

    def dims(self, dims: Sequence[Dim]) -> list[int]:
        """Sizes for an attribute: -1 where a size is symbolic."""
        return [d if isinstance(d, int) else -1 for d in dims]

    @property
    def size_dtype(self) -> DType:
        """The dtype of sizes: int64 where TensorRT has it."""
        return DType.INT64 if self.has_int64 else DType.INT32

    def shape_tensor(self, dims: Sequence[Dim]) -> Any:
        """The sizes as an ITensor of shape (len(dims),), computed in the engine where symbolic."""
        import torch

        if all(isinstance(d, int) for d in dims):
            return self.constant(torch.tensor(list(dims), dtype=self.size_dtype.torch))
        parts = [self._size(d) for d in dims]
        if len(parts) == 1:
            return parts[0]
        layer = self.add_concatenation(parts)
        layer.axis = 0
        return layer.get_output(0)

    def measure(self, dim: Dim, x: Any, axis: int) -> None:
        """Let the size of an ITensor along an axis say what a symbol is; nothing for an int."""
        from trtdsl.sizes import read_size

        if not isinstance(dim, int):
            self.symbols[dim.name] = lambda: read_size(self, x, axis)

    def _size(self, dim: Dim) -> Any:
        from trtdsl.sizes import lower_size

        if dim not in self._sizes:
            self._sizes[dim] = lower_size(self, dim)
        return self._sizes[dim]


class _Noted:
    """An ILoop: ``add_*`` adds a layer to it."""

    def __init__(self, api: Api, loop: Any) -> None:
        self._api = api
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return self._api._noting(self._loop, name)
