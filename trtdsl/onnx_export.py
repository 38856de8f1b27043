"""A module as an ONNX file, by PyTorch's own exporter.

Here the ONNX path starts, which trtdsl is compared with; trtdsl itself does not go this way.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from trtdsl.errors import ConversionError, UnavailableError, explain
from trtdsl.export import dynamic
from trtdsl.export.flat import Flat, given_inputs
from trtdsl.manifest import TensorSpec
from trtdsl.tree import Tree
from trtdsl.types import DimRange, DType

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OPSET", "OnnxModel", "export"]

OPSET = 17
"""The newest opset that TensorRT 8.6 parses."""


@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """An ONNX file, and how the module that it came from is called.

    ``inputs`` and ``outputs`` are named as trtdsl names them. ``outputs`` has the shapes of the
    example; where sizes are dynamic, TensorRT or onnxruntime say what they are.
    """

    data: bytes = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_tree: Tree
    output_tree: Tree
    parameters: tuple[str, ...]
    symbols: dict[str, DimRange]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        dynamic_shapes: Any = None,
        opt: Mapping[str, int] | None = None,
        opset: int = OPSET,
    ) -> OnnxModel:
        """Export a module with ``torch.onnx.export(dynamo=False)``.

        Inputs: as of ``trtdsl.trace``; sizes in ``dynamic_shapes`` are named ``torch.export.Dim``
        with a maximum, or multiples of one.
        Errors: ConversionError when the module is in training mode, or the exporter refuses it.
        """
        if not isinstance(model, torch.nn.Module):
            kind = type(model).__name__
            raise ConversionError(
                explain(
                    f"the ONNX path takes a torch.nn.Module, not {kind}",
                    fix="give the module that it was made from",
                )
            )
        flat = Flat(model, *given_inputs(model, args, kwargs))
        dims = [
            {axis: dim for axis, dim in spec.items() if not isinstance(dim, int)}
            for spec in flat.specs(dynamic_shapes)
        ]
        symbols = _ranges(flat.leaves, dims, opt or {})
        names = flat.input_names
        with torch.no_grad():
            values = flat(*flat.leaves)  # also finds out the structure of the outputs
        outputs = dynamic.output_names(flat.output_tree, names)
        return cls(
            data=_export(flat, dims, names, outputs, opset),
            inputs=tuple(map(_spec, names, flat.leaves, dims)),
            outputs=tuple(_spec(name, y, {}) for name, y in zip(outputs, values, strict=True)),
            input_tree=flat.input_tree,
            output_tree=flat.output_tree,
            parameters=flat.parameter_names,
            symbols=symbols,
        )


def export(
    model: nn.Module,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opset: int = OPSET,
) -> bytes:
    """The ONNX file of a module, as bytes. Inputs and errors: as of ``OnnxModel.of``."""
    return OnnxModel.of(model, args, kwargs, dynamic_shapes=dynamic_shapes, opset=opset).data


def _export(
    flat: Flat,
    dims: Sequence[Mapping[int, Any]],
    names: Sequence[str],
    outputs: Sequence[str],
    opset: int,
) -> bytes:
    axes = {
        name: {axis: dim.__name__ for axis, dim in spec.items()}
        for name, spec in zip(names, dims, strict=True)
        if spec
    }
    leaves = dynamic.widened(flat.leaves, dims)
    file: Any = io.BytesIO()  # PyTorch's annotation only names paths
    try:
        with torch.no_grad(), _no_fast_path(), warnings.catch_warnings():
            # The newer exporter writes opset 18 and above, which TensorRT 8.6 does not parse.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                flat,
                leaves,
                file,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
    except ImportError as error:
        raise UnavailableError(
            explain(f"ONNX export: {error}", fix="pip install 'trtdsl[onnx]'")
        ) from error
    except Exception as error:
        reason = "\n  ".join([type(error).__name__, *str(error).strip().splitlines()[:6]])
        name = type(flat.model).__name__
        raise ConversionError(f"torch.onnx.export refuses {name}: {reason}") from error
    return bytes(file.getvalue())


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Fused operators of transformer layers have no form in ONNX; their parts do."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _spec(name: str, leaf: torch.Tensor, dims: Mapping[int, Any]) -> TensorSpec:
    shape = tuple(dims[i].__name__ if i in dims else int(n) for i, n in enumerate(leaf.shape))
    dtype = DType.of(leaf.dtype)
    return TensorSpec(name=name, dtype=dtype, engine_dtype=dtype, shape=shape)


def _ranges(
    leaves: Sequence[torch.Tensor], dims: Sequence[Mapping[int, Any]], opt: Mapping[str, int]
) -> dict[str, DimRange]:
    """The range of every symbol. Errors: ConversionError for a size without name or maximum."""
    ranges: dict[str, DimRange] = {}
    for leaf, spec in zip(leaves, dims, strict=True):
        for axis, dim in spec.items():
            root = _root(dim)
            example = leaf.shape[axis] if root is dim else root.min
            best = opt.get(root.__name__, min(max(example, root.min), root.max))
            if root.__name__ not in ranges or root is dim:
                ranges[root.__name__] = DimRange(min=root.min, opt=best, max=root.max)
    return ranges


def _root(dim: Any) -> Any:
    """The Dim that a size is, or is computed from."""
    root = getattr(dim, "root", dim)
    if not isinstance(root, torch.export.Dim):
        raise ConversionError(
            explain(f"the ONNX path takes no {dim}", fix='use torch.export.Dim("n", min=1, max=32)')
        )
    if not isinstance(root.max, int):
        name = root.__name__
        raise ConversionError(
            explain(
                f"size {name} has no upper bound, and TensorRT needs one",
                fix=f'torch.export.Dim("{name}", min={max(root.min, 1)}, max=...)',
            )
        )
    return root
