"""``Complex``: a complex tensor as the two real ones that TensorRT has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from trtdsl.network import Network, Operand, Tensor
from trtdsl.registry import find
from trtdsl.types import Dim, DType

if TYPE_CHECKING:
    import torch

__all__ = ["Complex", "ComplexOperand", "each_part", "each_product", "part_dtype"]


@dataclass(frozen=True, eq=False)
class Complex:
    """A value of the walk where PyTorch has a complex tensor; both parts have one type."""

    real: Tensor
    imag: Tensor

    @property
    def network(self) -> Network:
        return self.real.network

    @property
    def dtype(self) -> DType:
        """That of the parts: float32 for complex64."""
        return self.real.dtype

    @property
    def torch_dtype(self) -> torch.dtype:
        return self.dtype.torch.to_complex()

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.real.shape

    @property
    def rank(self) -> int:
        return self.real.rank

    @property
    def type(self) -> str:
        """As printed: ``complex of f32[2, 3]``."""
        return f"complex of {self.real.type}"

    def map(self, function: Callable[[Tensor], Tensor]) -> Complex:
        """The function of either part."""
        return Complex(function(self.real), function(self.imag))

    def conjugate(self) -> Complex:
        return Complex(self.real, -self.imag)


ComplexOperand: TypeAlias = Complex | Operand


def part_dtype(dtype: torch.dtype) -> DType:
    """The DType of the parts of a complex dtype. Errors: ValueError for complex128."""
    return DType.of(dtype.to_real())


def each_part(operator: Any, joined: frozenset[str]) -> Callable[..., Any]:
    """An operator's converter for complex tensors: its own, for the real and the imaginary part."""
    names = [a.name for a in operator._schema.arguments]

    def convert(net: Network, *args: Any, **kwargs: Any) -> Any:
        converter = find(operator)
        assert converter is not None, f"{operator} has no converter"
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        first = [net] if converter.wants_network else []
        results = []
        for pick in (_real, _imag):
            parts = {name: pick(v, name in joined) for name, v in given.items()}
            if hasattr(parts.get("dtype"), "to_real"):
                parts["dtype"] = part_dtype(parts["dtype"])
            positional = [parts.pop(name) for name in names[: len(args)]]
            results.append(converter.function(*first, *positional, **parts))
        real, imag = results
        if isinstance(real, list | tuple):
            return [Complex(*parts) for parts in zip(real, imag, strict=True)]
        return Complex(real, imag)

    return convert


def each_product(operator: Any) -> Callable[..., Any]:
    """The converter for complex tensors of an operator that is a product, with or without bias."""
    names = [a.name for a in operator._schema.arguments]

    def convert(net: Network, *args: Any, **kwargs: Any) -> Any:
        converter = find(operator)
        assert converter is not None, f"{operator} has no converter"
        first = [net] if converter.wants_network else []
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        (a, b), (c, d) = (_both(given[name]) for name in names[:2])
        bias = given.get("bias")
        real, imag = (None, None) if bias is None else _both(bias)

        def product(x: Tensor, y: Tensor, added: Any = None) -> Tensor:
            values = {**given, names[0]: x, names[1]: y}
            if "bias" in given:
                values["bias"] = added
            positional = [values.pop(name) for name in names[: len(args)]]
            result: Tensor = converter.function(*first, *positional, **values)
            return result

        if b is None:
            return Complex(product(a, c, real), product(a, d, imag))
        if d is None:
            return Complex(product(a, c, real), product(b, c, imag))
        return Complex(product(a, c, real) - product(b, d), product(a, d, imag) + product(b, c))

    return convert


def _both(value: Any) -> tuple[Any, Any]:
    return (value.real, value.imag) if isinstance(value, Complex) else (value, None)


def _real(value: Any, joined: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_real(v, joined) for v in value]
    if isinstance(value, complex) and joined:
        return value.real
    return value.real if isinstance(value, Complex) else value


def _imag(value: Any, joined: bool) -> Any:
    """The imaginary part; that of what is real is 0 where it is joined with what is complex."""
    if isinstance(value, list | tuple):
        several = any(isinstance(v, Complex) for v in value)
        return list(map(partial(_imag, joined=joined or several), value))
    if isinstance(value, Complex):
        return value.imag
    if isinstance(value, complex) and joined:
        return value.imag
    if isinstance(value, bool | int | float) and joined:
        return 0.0
    return _zeros(value) if isinstance(value, Tensor) and joined else value


def _zeros(x: Tensor) -> Tensor:
    from trtdsl.layers.creation import filled

    zeros: Tensor = filled(x.network, x.shape, 0, x.dtype)
    return zeros
