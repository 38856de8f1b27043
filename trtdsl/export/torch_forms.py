"""Functions of PyTorch in forms that torch.export captures.

Some ask in Python what only values tell, others make a number of a size that is symbolic. The forms
here compute the same by functions that do neither. Source: the documentation of each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from itertools import combinations, combinations_with_replacement
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

from trtdsl.export.item_forms import set_item
from trtdsl.export.loss_forms import gaussian_nll_loss

__all__ = ["FORMS", "GRADIENTS"]


def _cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """``torch.cov`` without a look at the weights' signs."""
    rows = input if input.dim() == 2 else input.reshape(1, -1)
    if fweights is None and aweights is None:
        centred = rows - rows.mean(1, keepdim=True) if rows.is_floating_point() else _centred(rows)
        product, norm = centred @ centred.mT, rows.shape[1] - correction
        result = product / (max(norm, 0) if isinstance(norm, int) else norm)
    else:
        result = _weighted_cov(rows, correction, fweights, aweights)
    return result.reshape(()) if rows.shape[0] == 1 else result


def _centred(rows: Tensor) -> Tensor:
    numbers = rows.to(torch.get_default_dtype())
    return numbers - numbers.mean(1, keepdim=True)


def _weighted_cov(
    rows: Tensor, correction: int, fweights: Tensor | None, aweights: Tensor | None
) -> Tensor:
    weights = aweights if fweights is None else fweights
    if fweights is not None and aweights is not None:
        weights = fweights * aweights
    assert weights is not None
    total = weights.sum()
    centred = rows - (rows * weights).sum(1, keepdim=True) / total
    lost = correction if aweights is None else correction * (weights * aweights).sum() / total
    return centred @ (centred * weights).mT / (total - lost).clamp(min=0)


def _corrcoef(input: Tensor) -> Tensor:
    """``torch.corrcoef``."""
    c = _cov(input)
    if c.dim() == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation[:, None] / deviation).clip(-1, 1)


def _combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """``torch.combinations``: which elements there are is known without a mask."""
    choose = combinations_with_replacement if with_replacement else combinations
    rows = list(choose(range(input.shape[0]), r))
    return input[torch.tensor(rows, dtype=torch.int64, device=input.device).reshape(-1, r)]


def _isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """``torch.isin`` by comparing all with all: PyTorch sorts, or not, by what the sizes are."""
    each = elements[..., None] if isinstance(elements, Tensor) else elements
    sought = test_elements.reshape(-1) if isinstance(test_elements, Tensor) else test_elements
    found: Tensor = (each == sought).any(-1)
    return ~found if invert else found


def _einsum(equation: Any, *operands: Any) -> Tensor:
    """``torch.einsum`` from the left on: opt_einsum, where it is installed, compares sizes."""
    if not isinstance(equation, str):
        return torch.einsum(equation, *operands)
    given = operands[0] if isinstance(operands[0], list | tuple) else operands
    result: Tensor = torch._VF.einsum(equation, given)  # type: ignore[attr-defined]
    return result


def _conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``torch.conv_tbc``, whose sizes torch.export takes for constants."""
    x, kernel = input.permute(1, 2, 0), weight.permute(2, 1, 0)
    return F.conv1d(x, kernel, bias, padding=pad).permute(2, 0, 1)


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """``torch.cdist``, which for more than 25 rows may take a product of matrices."""
    return torch.cdist(x1, x2, p, "donot_use_mm_for_euclid_dist")


def _max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool1d`` as a ``max_pool2d`` of one row."""

    def pair(value: Any, other: int) -> tuple[int, int]:
        return other, value if isinstance(value, int) else value[0]

    return F.max_pool2d(
        input.unsqueeze(-2),
        pair(kernel_size, 1),
        pair(stride or kernel_size, 1),
        pair(padding, 0),
        pair(dilation, 1),
        ceil_mode,
    ).squeeze(-2)


def _pool_of_all(pool: Callable[..., Any]) -> Callable[..., Any]:
    """An average or maximum over a window of symbolic size, which has to be the whole image."""

    def pooled(input: Tensor, kernel_size: Any, *args: Any, **kwargs: Any) -> Tensor:
        window = tuple(kernel_size) if isinstance(kernel_size, Sequence) else (kernel_size,) * 2
        padding = kwargs.get("padding", args[1] if len(args) > 1 else 0)
        if len(window) != 2 or padding not in (0, (0, 0), [0, 0]):
            return pool(input, kernel_size, *args, **kwargs)  # type: ignore[no-any-return]
        for size, whole in zip(window, input.shape[-2:], strict=True):
            torch._check(size == whole)  # type: ignore[no-untyped-call]
        average = pool is F.avg_pool2d
        return input.mean((-2, -1), True) if average else input.amax((-2, -1), True)

    return pooled


def _linspace(start: Any, end: Any, steps: Any, **given: Any) -> Tensor:
    """``torch.linspace``, from both ends, as PyTorch does."""
    dtype, device = given.get("dtype") or torch.get_default_dtype(), given.get("device")
    index = torch.arange(steps, device=device)
    step = (end - start) / torch.sym_max(steps - 1, 1)  # type: ignore[no-untyped-call]
    low, high = start + index.float() * step, end - (steps - 1 - index).float() * step
    half = torch.sym_max(steps // 2, 1)  # type: ignore[no-untyped-call]
    return torch.where(index < half, low, high).to(dtype)


def _logspace(start: Any, end: Any, steps: Any, base: float = 10.0, **given: Any) -> Tensor:
    """``torch.logspace``."""
    dtype = given.get("dtype") or torch.get_default_dtype()
    device = given.get("device")
    return torch.pow(base, _linspace(start, end, steps, device=device)).to(dtype)


def _one_hot(input: Tensor, num_classes: Any = -1) -> Tensor:
    """``one_hot``: equal to the number of the class."""
    return (input.unsqueeze(-1) == torch.arange(num_classes, device=input.device)).long()


def _chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """``torch.chunk`` into just as many parts as asked for, which has to hold for all sizes.

    Of a size that is known there may be fewer.
    """
    whole = input.shape[dim]
    size = (whole + chunks - 1) // chunks
    if isinstance(whole, int):
        return torch.split(input, max(size, 1), dim)
    fits = size * (chunks - 1) < whole
    torch._check(fits, lambda: f"chunk gives fewer than {chunks} parts of {whole}")
    starts = [i * size for i in range(chunks)]
    parts = [input.narrow(dim, start, size) for start in starts[:-1]]
    return (*parts, input.narrow(dim, starts[-1], whole - starts[-1]))


def _repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None
) -> Tensor:
    """``torch.repeat_interleave``: how many there are in all is a number, which may have bounds."""
    counts = input if repeats is None else repeats
    if isinstance(counts, Tensor) and output_size is None:
        each = counts
        if repeats is not None and counts.numel() == 1:
            each = counts * (input.numel() if dim is None else input.shape[dim])
        output_size = each.sum().item()
        torch._check(output_size >= 0)  # type: ignore[no-untyped-call]
    if repeats is None:
        return torch.repeat_interleave(counts, output_size=output_size)
    return torch.repeat_interleave(input, repeats, dim, output_size=output_size)


def _as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``torch.as_tensor`` of symbolic sizes: of one, or of lists of them and of numbers."""
    if not isinstance(data, list | tuple):
        whole = isinstance(data, int | torch.SymInt)
        own = torch.int64 if whole else torch.get_default_dtype()
        return torch.full((), data, dtype=dtype or own, device=device)
    floats = (x for x in pytree.tree_leaves(data) if isinstance(x, float | torch.SymFloat))
    own = torch.int64 if next(floats, None) is None else torch.get_default_dtype()
    return torch.stack([_as_tensor(x, dtype or own, device) for x in data])


def _new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, **options: Any
) -> Tensor:
    """``Tensor.new_tensor`` of symbolic sizes."""
    return _as_tensor(data, dtype or input.dtype, device or input.device)


def _limited(original: Callable[..., Any]) -> Callable[..., Any]:
    """``embedding`` and ``embedding_bag``, whose rows of a large norm are made smaller in place.

    Here all rows are, of a copy: what is looked up is the same. Source: aten::embedding_renorm_.
    """
    parameters = signature(original)

    @wraps(original)
    def lookup(*args: Any, **kwargs: Any) -> Any:
        given = parameters.bind(*args, **kwargs)
        given.apply_defaults()
        of, limit = given.arguments, given.arguments["max_norm"]
        if limit is not None:
            weight = of["weight"]
            norms = torch.linalg.vector_norm(weight, of["norm_type"], -1, keepdim=True)
            of["weight"] = weight * torch.where(norms > limit, limit / (norms + 1e-7), 1.0)
            of["max_norm"] = None
        return original(*given.args, **given.kwargs)

    return lookup


def _affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """``affine_grid`` of a size that varies, and of no product: see the operator's converter."""
    axes = len(size) - 2
    ones = (None,) * axes

    def column(index: int) -> Tensor:
        return theta[(slice(None), *ones, slice(None), index)]

    grid = column(axes)
    for axis, count in enumerate(size[2:]):
        steps = torch.sym_max(count - 1, 1) if align_corners else count  # type: ignore[no-untyped-call]
        index = torch.arange(count, device=theta.device).to(theta)
        places = torch.div(2 * index - (count - 1), steps)
        grid = grid + column(axes - 1 - axis) * places[(slice(None), *ones[axis:])]
    return grid


def _where_symbolic(
    original: Callable[..., Any], form: Callable[..., Any], *, sizes: bool
) -> Callable[..., Any]:
    """The form where an argument is a symbolic number, or with ``sizes`` a size of a tensor is."""

    @wraps(original)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        symbolic = any(_is_symbolic(v, sizes) for v in (*args, *kwargs.values()))
        indices = kwargs.get("return_indices") or len(args) == 7
        return (form if symbolic and not indices else original)(*args, **kwargs)

    return chosen


def _is_symbolic(value: Any, sizes: bool) -> bool:
    if sizes:
        shape = value.shape if isinstance(value, Tensor) else ()
        return any(isinstance(n, torch.SymInt) for n in shape)
    numbers = pytree.tree_leaves(value) if isinstance(value, list | tuple) else [value]
    return any(isinstance(n, torch.SymInt | torch.SymFloat) for n in numbers)


def _of_numbers(function: Callable[..., Any], form: Callable[..., Any]) -> dict[Any, Any]:
    return {function: _where_symbolic(function, form, sizes=False)}


def _of_sizes(form: Callable[..., Any], *functions: Callable[..., Any]) -> dict[Any, Any]:
    return {f: _where_symbolic(f, form, sizes=True) for f in functions}


GRADIENTS = "gradients are taken while a module is exported"
"""What is raised then, for ``trtdsl.export.gradients`` to capture the module instead."""


def _no_gradients(*args: Any, **kwargs: Any) -> Any:
    """A backward pass, of which torch.export would capture constants of no value."""
    raise RuntimeError(GRADIENTS)


FORMS: dict[Any, Callable[..., Any]] = {
    torch.Tensor.__setitem__: set_item,
    torch.cov: _cov,
    torch.Tensor.cov: _cov,
    torch.corrcoef: _corrcoef,
    torch.Tensor.corrcoef: _corrcoef,
    torch.combinations: _combinations,
    torch.repeat_interleave: _repeat_interleave,
    torch.Tensor.repeat_interleave: _repeat_interleave,
    F.gaussian_nll_loss: gaussian_nll_loss,
    torch.autograd.grad: _no_gradients,
    torch.autograd.backward: _no_gradients,
    torch.Tensor.backward: _no_gradients,
    F.embedding: _limited(F.embedding),
    F.embedding_bag: _limited(F.embedding_bag),
    torch.Tensor.data.__get__: lambda x: x.detach(),  # type: ignore[attr-defined]
    **_of_numbers(torch.linspace, _linspace),
    **_of_numbers(torch.logspace, _logspace),
    **_of_numbers(F.one_hot, _one_hot),
    **_of_numbers(torch.as_tensor, _as_tensor),
    **_of_numbers(torch.Tensor.new_tensor, _new_tensor),
    **_of_numbers(F.affine_grid, _affine_grid),
    **_of_numbers(F.avg_pool2d, _pool_of_all(F.avg_pool2d)),
    **_of_numbers(F.max_pool2d, _pool_of_all(F.max_pool2d)),
    **_of_sizes(_cdist, torch.cdist),
    **_of_sizes(_conv_tbc, torch.conv_tbc),
    **_of_sizes(_einsum, torch.einsum),
    **_of_sizes(_isin, torch.isin),
    **_of_sizes(_max_pool1d, F.max_pool1d, torch.max_pool1d),
    **_of_sizes(_chunk, torch.chunk, torch.Tensor.chunk),
}
"""What a function of PyTorch is called as while a module is exported."""
