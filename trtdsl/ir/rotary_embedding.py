"""``RotaryEmbedding``: pairs of elements turned by an angle that tells their position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather
from trtdsl.ir.shuffle import Shuffle, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.types import DType, Shape, TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["RotaryEmbedding"]


@dataclass(frozen=True, kw_only=True)
class RotaryEmbedding(Layer):
    """Each pair ``(a, b)`` of a head becomes ``(a * cos - b * sin, b * cos + a * sin)``.

    Inputs: x ``(B, N, S, H)`` and cos and sin ``(B, S, R / 2)``, floats of one dtype; or cos and
    sin ``(P, R / 2)``, with positions ``(B, S)``, int32 or int64 below P, as a fourth input.
    R is ``rotary_embedding_dim``, or with 0 all of H; what is behind the first R elements of a head
    stays as it is. Element i is paired with ``i + R / 2``, or with ``interleaved`` element
    ``2 * i`` with ``2 * i + 1``. Output: as x.
    Source: INetworkDefinition.add_rotary_embedding (10.15).
    """

    interleaved: bool = False
    rotary_embedding_dim: int = 0

    def infer(
        self, x: TensorType, cos: TensorType, sin: TensorType, positions: TensorType | None = None
    ) -> TensorType:
        self.require_floats(x, cos, sin)
        self.require(x.rank == 4, f"takes (B, N, S, H), not {x}")
        batch, _, length, size = x.shape
        turned = self.rotary_embedding_dim or size
        known = isinstance(turned, int) and isinstance(size, int)
        fits = known and turned % 2 == 0 and 0 <= turned <= size
        self.require(fits, f"turns {turned} elements of a head, which must be even, and in {x}")
        table: Shape = (batch, length, turned // 2)
        if positions is not None:
            integers = positions.dtype in (DType.INT32, DType.INT64)
            self.require(integers, f"positions are int32 or int64, not {positions}")
            self._require_shape("positions", positions, (batch, length))
            self.require(cos.rank == 2, f"with positions takes cos (P, {turned // 2}), not {cos}")
            table = (cos.shape[0], turned // 2)
        self._require_shape("cos", cos, table)
        self._require_shape("sin", sin, table)
        return x

    def _require_shape(self, name: str, given: TensorType, shape: Shape) -> None:
        fits = given.rank == len(shape) and all(
            ours == theirs or not is_static((ours, theirs))
            for ours, theirs in zip(given.shape, shape, strict=True)
        )
        self.require(fits, f"{name} has the shape {shape}, not {given}")

    def evaluate(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        import torch

        if positions is not None:
            cos, sin = cos[positions.long()], sin[positions.long()]
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        half = cos.shape[-1]
        turned, rest = x[..., : 2 * half], x[..., 2 * half :]
        shape, axis = ((half, 2), -1) if self.interleaved else ((2, half), -2)
        a, b = turned.reshape(*turned.shape[:3], *shape).unbind(axis)
        pairs = torch.stack([a * cos - b * sin, b * cos + a * sin], axis)
        return torch.cat([pairs.flatten(-2), rest], -1)

    def available(self, api: Api) -> bool:
        return api.has("add_rotary_embedding")

    def lower(self, api: Api, x: Any, cos: Any, sin: Any, positions: Any = None) -> Any:
        assert api.operation is not None
        if positions is not None and api.operation.inputs[3].dtype is not DType.INT64:
            # "M: int64." Source: NVIDIA's operator reference, RotaryEmbedding.
            positions = api.cast(positions, DType.INT64)
        layer = api.add_rotary_embedding(x, cos, sin, self.interleaved, self.rotary_embedding_dim)
        if positions is not None:
            layer.set_input(3, positions)
        return layer

    def expand(self, x: Tensor, cos: Tensor, sin: Tensor, *positions: Tensor) -> Tensor:
        """Products of the halves, or of every second element."""
        if positions:
            cos, sin = (Gather(axis=0)(table, positions[0]) for table in (cos, sin))
        cos, sin = (Unsqueeze(axes=(1,))(table) for table in (cos, sin))
        half, size = cos.shape[3], x.shape[3]
        step = 2 if self.interleaved else 1
        a, b = (section(x, 3, i, half, step) for i in (0, 1 if self.interleaved else half))
        pairs = [a * cos - b * sin, b * cos + a * sin]
        if self.interleaved:
            joined = Concatenation(axis=4)(*(Unsqueeze(axes=(4,))(y) for y in pairs))
            pairs = [Shuffle(reshape_dims=(*x.shape[:3], 2 * half))(joined)]
        if 2 * half != size:
            pairs.append(section(x, 3, 2 * half, size - 2 * half))
        return Concatenation(axis=3)(*pairs) if len(pairs) > 1 else pairs[0]
