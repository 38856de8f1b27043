"""``prefer``: operators become plugins where TensorRT's own layers would do as well."""

from __future__ import annotations

from importlib import import_module

from trtdsl.errors import ConversionError, explain

__all__ = ["ALTERNATIVES", "prefer"]

ALTERNATIVES = (
    "attention",
    "deformable",
    "fourier",
    "gelu",
    "grid_sample_3d",
    "linear",
    "normalization",
    "roi_align",
    "running_extreme",
    "scatter_reduce",
    "search_sorted",
    "suppression",
)
"""The modules whose operators have converters without a plugin."""


def prefer(*names: str) -> None:
    """Convert the operators of these modules to their plugins from now on; all, if none is named.

    ``trtdsl.plugins.prefer("roi_align", "deformable")``
    Errors: ConversionError for another name.
    """
    from trtdsl.registry import converter, load

    unknown = [name for name in names if name not in ALTERNATIVES]
    if unknown:
        raise ConversionError(
            explain(
                f"no plugin is an alternative by the name of {', '.join(unknown)}",
                fix=f"one of {', '.join(ALTERNATIVES)}",
            )
        )
    load()
    for name in names or ALTERNATIVES:
        module = import_module(f"trtdsl.plugins.{name}")
        for operator, function in module.CONVERTERS.items():
            converter(operator, override=True)(function)
        for operator, function in getattr(module, "OF_COMPLEX", {}).items():
            converter(operator, override=True, complex=True)(function)
