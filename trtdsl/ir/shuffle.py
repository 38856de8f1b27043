"""``Shuffle``, ``Squeeze`` and ``Unsqueeze``: the same elements in another order or shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from trtdsl.ir.detour import Mover
from trtdsl.types import Dim, Shape, TensorType, as_dim

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Shuffle", "Squeeze", "Unsqueeze", "reshapes", "transposes"]

_MAX_DIMS = 8


@dataclass(frozen=True, kw_only=True)
class Shuffle(Mover):
    """``x.permute(first_transpose).reshape(reshape_dims).permute(second_transpose)``, all optional.

    Source: INetworkDefinition.add_shuffle.
    """

    first_transpose: tuple[int, ...] | None = None
    reshape_dims: tuple[Dim, ...] | None = None
    second_transpose: tuple[int, ...] | None = None

    def infer(self, x: TensorType) -> TensorType:
        shape = self._permuted(x.shape, self.first_transpose)
        if self.reshape_dims is not None:
            target = x.with_shape(self.reshape_dims)
            both = x.is_static and target.is_static
            self.require(
                not both or x.volume == target.volume,
                f"{x} has {x.volume} elements, {target} has {target.volume}",
            )
            shape = self.reshape_dims
        return x.with_shape(self._permuted(shape, self.second_transpose))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        if self.first_transpose is not None:
            x = x.permute(self.first_transpose)
        if self.reshape_dims is not None:
            x = x.reshape(self.reshape_dims)
        return x if self.second_transpose is None else x.permute(self.second_transpose)

    def lower(self, api: Api, x: Any) -> Any:
        layer = api.add_shuffle(x)
        if self.first_transpose is not None:
            layer.first_transpose = api.trt.Permutation(self.first_transpose)
        if self.reshape_dims is not None:
            self._lower_reshape(api, layer, self.reshape_dims)
        if self.second_transpose is not None:
            layer.second_transpose = api.trt.Permutation(self.second_transpose)
        return layer

    def _lower_reshape(self, api: Api, layer: Any, dims: tuple[Dim, ...]) -> None:
        # A size of 0 would otherwise mean "as in the input".
        layer.zero_is_placeholder = False
        symbolic = [d for d in dims if not isinstance(d, int)]
        if len(symbolic) <= 1 and 0 not in dims:
            layer.reshape_dims = [d if isinstance(d, int) else -1 for d in dims]
        else:
            layer.set_input(1, api.shape_tensor(dims))

    def _permuted(self, shape: Shape, order: tuple[int, ...] | None) -> Shape:
        if order is None:
            return shape
        self.require(
            sorted(order) == list(range(len(shape))),
            f"{order} is no order of {len(shape)} axes",
        )
        return tuple(shape[axis] for axis in order)


def reshapes(layer: object) -> TypeGuard[Shuffle]:
    """Whether a layer gives another shape, and no other order."""
    return isinstance(layer, Shuffle) and layer == Shuffle(reshape_dims=layer.reshape_dims)


def transposes(layer: object) -> TypeGuard[Shuffle]:
    """Whether a layer gives another order, and no other shape."""
    return isinstance(layer, Shuffle) and layer == Shuffle(first_transpose=layer.first_transpose)


@dataclass(frozen=True, kw_only=True)
class Unsqueeze(Mover):
    """x with a size of 1 at each of ``axes`` of the output. Source: add_unsqueeze (10.7)."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        rank = x.rank + len(self.axes)
        self.require(
            len(set(self.axes)) == len(self.axes) and all(0 <= a < rank for a in self.axes),
            f"axes are not distinct or outside 0..{rank - 1} for {x}",
        )
        sizes = iter(x.shape)
        return x.with_shape(tuple(1 if a in self.axes else next(sizes) for a in range(rank)))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        for axis in sorted(self.axes):
            x = x.unsqueeze(axis)
        return x

    def available(self, api: Api) -> bool:
        return api.has("add_unsqueeze")

    def takes(self, *inputs: TensorType) -> bool:
        # The output's rank "must be less than Dims::MAX_DIMS". Source: addUnsqueeze.
        return super().takes(*inputs) and inputs[0].rank + len(self.axes) < _MAX_DIMS

    def lower(self, api: Api, x: Any) -> Any:
        return api.add_unsqueeze(x, api.shape_tensor(self.axes))

    def expand(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return Shuffle(reshape_dims=self.infer(x.type).shape)(x)


@dataclass(frozen=True, kw_only=True)
class Squeeze(Mover):
    """x without ``axes``, each of size 1. Source: INetworkDefinition.add_squeeze (10.7)."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        self.require(
            len(set(self.axes)) == len(self.axes) and all(0 <= a < x.rank for a in self.axes),
            f"axes are not distinct or outside 0..{x.rank - 1} for {x}",
        )
        for axis in self.axes:
            self.require(as_dim(x.shape[axis]) == 1, f"axis {axis} is not of size 1 in {x}")
        return x.with_shape(tuple(d for a, d in enumerate(x.shape) if a not in self.axes))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(self.axes)

    def available(self, api: Api) -> bool:
        return api.has("add_squeeze")

    def lower(self, api: Api, x: Any) -> Any:
        return api.add_squeeze(x, api.shape_tensor(self.axes))

    def expand(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return Shuffle(reshape_dims=self.infer(x.type).shape)(x)
