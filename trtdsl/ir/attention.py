"""``Attention``: values averaged by how well their keys match a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.fill import Fill
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import Slice
from trtdsl.ir.softmax import SoftMax
from trtdsl.operators import cast, less, logical_not, maximum, where
from trtdsl.types import Dim, DType, TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network, Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Attention", "at_or_below", "lowest", "repeated_heads"]


@dataclass(frozen=True, kw_only=True)
class Attention(Layer):
    """``softmax(query @ key.T + mask) @ value``, head by head, with the softmax in float32.

    Inputs: query ``(B, N, L, E)``, key ``(B, M, S, E)`` and value ``(B, M, S, V)``, floats of one
    dtype; head n of the query reads head ``n // (N // M)``. Optionally a mask ``(B, N, L, S)``, of
    which B and N may be 1: a bool one is true where a query may attend to a key, one of the query's
    dtype is added. With ``causal``, and then without a mask, query i attends to the keys up to i.
    A query that the mask lets attend to no key has no defined result, but 0 where the last input
    says so: ``attending``, bool ``(B, N, L, 1)``, of which B, N and L may be 1, is false for such
    queries and no others. There is no scale: the query comes multiplied by it, which also keeps the
    product within the range of 16 bits.

    Output: ``(B, N, L, V)``.
    Source: add_attention (10.14) and add_attention_v2 (11.0) of INetworkDefinition.
    """

    causal: bool = False

    def infer(
        self,
        query: TensorType,
        key: TensorType,
        value: TensorType,
        mask: TensorType | None = None,
        attending: TensorType | None = None,
    ) -> TensorType:
        inputs = (query, key, value, mask, attending)
        given = ", ".join(str(x) for x in inputs if x is not None)
        self.require_floats(query, key, value)
        self.require(query.rank == key.rank == value.rank == 4, f"takes rank 4, not {given}")
        (batch, heads, length, _), (_, groups, keys, _) = query.shape, key.shape
        both = is_static((heads, groups))
        self.require(
            heads == groups or (both and heads % groups == 0),
            f"{heads} heads of the query do not share {groups} of the key: {given}",
        )
        pairs = [(query.shape[3], key.shape[3]), *zip(key.shape[:3], value.shape[:3], strict=True)]
        for ours, theirs in [(batch, key.shape[0]), *pairs]:
            fits = not is_static((ours, theirs)) or ours == theirs
            self.require(fits, f"sizes {ours} and {theirs} differ: {given}")
        if mask is not None:
            self.require(not self.causal, f"is causal, and so takes no mask: {given}")
            self.require(mask.dtype in (DType.BOOL, query.dtype), f"the mask's dtype: {given}")
            self._require_mask(mask, (batch, heads, length, keys), given)
        if attending is not None:
            self.require(attending.dtype is DType.BOOL, f"attending is no bool: {given}")
            self._require_mask(attending, (batch, heads, length, 1), given, spread=3)
        return query.with_shape((batch, heads, length, value.shape[3]))

    def _require_mask(
        self, mask: TensorType, sizes: tuple[Dim, ...], given: str, *, spread: int = 2
    ) -> None:
        """Hold a mask to sizes, of which the first ``spread`` may be 1."""
        self.require(mask.rank == 4, f"takes a mask of rank 4, not {mask}: {given}")
        for axis, (ours, theirs) in enumerate(zip(mask.shape, sizes, strict=True)):
            same = not is_static((ours, theirs)) or ours == theirs
            self.require(
                same or (axis < spread and ours == 1),
                f"the mask {mask} is not of the sizes {sizes}: {given}",
            )

    def evaluate(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
        attending: torch.Tensor | None = None,
    ) -> torch.Tensor:
        import torch

        times = query.shape[1] // key.shape[1]
        key, value = (x.float().repeat_interleave(times, 1) for x in (key, value))
        scores = query.float() @ key.mT
        if self.causal:
            mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None and mask.dtype is torch.bool:
            scores = scores.masked_fill(~mask, -torch.inf)
        elif mask is not None:
            scores = scores + mask
        y = (scores.softmax(-1) @ value).to(query.dtype)
        return y if attending is None else torch.where(attending, y, 0.0)

    def available(self, api: Api) -> bool:
        return api.has("add_attention")

    def takes(self, query: TensorType, key: TensorType, value: TensorType, *_: TensorType) -> bool:  # type: ignore[override]
        # TensorRT's value has the query's head size.
        return bool(value.shape[3] == query.shape[3])

    def lower(
        self,
        api: Api,
        query: Any,
        key: Any,
        value: Any,
        mask: Any = None,
        attending: Any = None,
    ) -> Any:
        import torch

        softmax = api.trt.AttentionNormalizationOp.SOFTMAX
        if api.has("add_attention_v2"):
            kinds = api.trt.CausalMaskKind
            kind = kinds.UPPER_LEFT if self.causal else kinds.NONE
            layer = api.add_attention_v2(query, key, value, softmax, kind)
        else:
            layer = api.add_attention(query, key, value, softmax, self.causal)
        layer.decomposable = True  # where no fused kernel fits, a build would otherwise fail
        if mask is not None:
            layer.mask = mask
        if attending is None:
            return layer
        assert api.operation is not None
        zero = torch.zeros(1, 1, 1, 1, dtype=api.operation.outputs[0].dtype.torch)
        return api.add_select(attending, layer.get_output(0), api.constant(zero))

    def expand(self, *inputs: Tensor, wide: bool = True) -> Tensor:
        """Products around a softmax, in the form that TensorRT fuses on its own.

        ``wide`` casts 16-bit scores to float32 for mask and softmax. TensorRT 8.6 is better off
        without: its softmax adds up in float32 anyhow, and casts would break the fusion. There it
        also reads keys where they lie that a layer has transposed, and copies those that the
        product is told to transpose.
        """
        query, key, value, *masks = inputs
        mask, attending = (*masks, None, None)[:2]
        key, value = (repeated_heads(x, query.shape[1]) for x in (key, value))
        if wide:
            scores = MatrixMultiply(op1=MatrixOperation.TRANSPOSE)(query, key)
            scores = cast(scores, DType.FLOAT32)
        else:
            scores = MatrixMultiply()(query, key.permute(0, 1, 3, 2))
        if self.causal:
            mask = at_or_below(query.network, query.shape[2], key.shape[2])
        if mask is not None:
            scores = scores + _summand(mask, scores.dtype)
        weights = SoftMax(axis=3)(scores)
        if attending is not None and not wide:  # behind the product it would be a kernel more
            allowed = masks[0] if masks[0].dtype is DType.BOOL else attending
            weights = where(allowed, weights, 0.0, weights.dtype)
        y = MatrixMultiply()(cast(weights, query.dtype), value)
        return where(attending, y, 0.0, y.dtype) if attending is not None and wide else y


def lowest(dtype: DType) -> float:
    """What stands for minus infinity in a mask: a sum with scores of the other half is finite."""
    import torch

    return torch.finfo(dtype.torch).min / 2


def at_or_below(net: Network, rows: Dim, columns: Dim) -> Tensor:
    """True on and below the diagonal of bool ``(1, 1, rows, columns)``."""
    import torch

    if is_static((rows, columns)):
        return net.constant(torch.ones(1, 1, rows, columns, dtype=torch.bool).tril())
    row, column = (net.append(Fill(shape=(n,)), ())[0] for n in (rows, columns))
    above = less(Unsqueeze(axes=(0, 1, 3))(row), Unsqueeze(axes=(0, 1, 2))(column))
    return logical_not(above)


def repeated_heads(x: Tensor, heads: int) -> Tensor:
    """Each head of ``(B, M, S, E)`` as often as makes ``heads``, next to each other."""
    batch, groups, length, size = x.shape
    if groups == heads:
        return x
    shape = (batch, groups, heads // groups, length, size)
    spread = Slice(start=(0,) * 5, shape=shape, stride=(1, 1, 0, 1, 1))
    return spread(Unsqueeze(axes=(2,))(x)).reshape(batch, heads, length, size)


def _summand(mask: Tensor, dtype: DType) -> Tensor:
    """A mask as what is added to scores of this dtype."""
    if mask.dtype is DType.BOOL:
        return where(mask, 0.0, lowest(dtype), dtype)
    if mask.dtype is dtype and dtype is not DType.FLOAT32:
        return maximum(mask, lowest(dtype))
    return cast(mask, dtype)
