"""``Absent``: a result of a PyTorch operator that TensorRT's layer does not give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from trtdsl.errors import ConversionError, explain

__all__ = ["Absent"]


@dataclass(frozen=True)
class Absent:
    """Stands where a converter gives no tensor; fine as long as nothing reads it.

    Errors: ConversionError at its first use.
    """

    what: str
    fix: str = ""

    def __getattr__(self, name: str) -> NoReturn:
        # The look-ups of Python itself, such as copy's, want an AttributeError.
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConversionError(
            explain(f"the model uses {self.what}, which TensorRT lacks", fix=self.fix)
        )

    def __iter__(self) -> Any:
        self.__getattr__("values")
