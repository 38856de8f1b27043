"""New weights for a built engine, from a ``state_dict``: TensorRT's refitter and our recipes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.errors import RunError, explain
from trtdsl.weights.recipe import Recipes
from trtdsl.weights.state import by_weight

if TYPE_CHECKING:
    import torch

    from trtdsl.manifest import Manifest

__all__ = ["Refitting"]

_SHOWN = 8
_THREADS = 8


class Refitting:
    """What an engine knows of its weights: the recipes, and the model's weights as far as given.

    ``known``: those that the engine has now, by the network's names. An engine that was just built
    knows all; one that was loaded knows those that it was refitted with.
    """

    def __init__(self, recipes: Recipes, known: Mapping[str, torch.Tensor]) -> None:
        self.recipes = recipes
        self.known = dict(known)

    @classmethod
    def of(cls, manifest: Manifest, known: Mapping[str, torch.Tensor] | None = None) -> Refitting:
        """From what an engine says of itself. Errors: RunError when it was built without."""
        if manifest.refit is None:
            raise RunError(
                explain(
                    "the engine was built without refit, so its weights cannot be changed",
                    fix="trtdsl.convert(model, inputs, refit=True)",
                )
            )
        return cls(Recipes.from_json(manifest.refit), known or {})

    def apply(self, trt_engine: Any, given: Mapping[str, torch.Tensor]) -> None:
        """Refit an engine that runs nothing, and whose contexts are gone.

        Errors: RunError for weights that do not fit, or that need others which are not known; the
        engine is then as it was. Source: IRefitter.
        """
        changed = by_weight(given, self.recipes.keys)
        self._require_weights(changed)
        self._refit(trt_engine, changed)

    def restore(self, trt_engine: Any) -> None:
        """Give a plan that was stripped of its weights those that are known, all of them."""
        self._refit(trt_engine, self.known)

    def _refit(self, trt_engine: Any, changed: Mapping[str, torch.Tensor]) -> None:
        from trtdsl.runtime.logger import clear, constructed, last_errors, tensorrt_logger
        from trtdsl.tensorrt_api import import_tensorrt

        recipes, state = self.recipes, {**self.known, **changed}
        trt = import_tensorrt()
        clear()
        refitter = constructed(RunError, trt.Refitter, trt_engine, tensorrt_logger())
        refitter.max_threads = min(os.cpu_count() or 1, _THREADS)
        wanted = {name for name in recipes.weights if recipes.needs(name) & changed.keys()}
        self._require_refittable(wanted, refitter)
        self._require_known(wanted, state)
        # TensorRT reads the memory when it refits: the values live until then.
        held: list[Any] = []
        while wanted:
            for name, value in recipes.make(sorted(wanted), state).items():
                held.append((value, _weights(trt, value)))
                if not refitter.set_named_weights(name, held[-1][1]):
                    raise RunError(
                        f"TensorRT refused the weights {name}: {'; '.join(last_errors())}"
                    )
            # Where it has merged weights, it wants the others of them as well.
            wanted = self._missing(refitter)
            self._require_known(wanted, state)
        if held and not refitter.refit_cuda_engine():
            raise RunError(f"TensorRT could not refit the engine: {'; '.join(last_errors())}")
        self.known = state

    def _missing(self, refitter: Any) -> set[str]:
        missing = set(refitter.get_missing_weights())
        unknown = sorted(str(name) for name in missing - self.recipes.weights.keys())
        if unknown:
            raise RunError(
                explain(
                    f"TensorRT asks for {len(unknown)} weights that no recipe makes: "
                    f"{', '.join(unknown[:_SHOWN])}",
                    fix="build the engine again with the new weights; please report this message",
                )
            )
        return missing

    def _require_weights(self, changed: Mapping[str, torch.Tensor]) -> None:
        fixed = [
            f"{key} in {fixed.where}"
            for key, fixed in self.recipes.fixed.items()
            if key in changed and not fixed.is_still(changed[key])
        ]
        if fixed:
            raise RunError(
                explain(
                    f"{', '.join(fixed[:_SHOWN])}: not held as weights, so that refitting would "
                    "not reach all uses",
                    fix="leave these keys out, or build the engine again",
                )
            )

    def _require_refittable(self, wanted: set[str], refitter: Any) -> None:
        lacking = sorted(wanted - set(refitter.get_all_weights()))
        if lacking:
            keys = sorted({key for name in lacking for key in self.recipes.needs(name)})
            raise RunError(
                explain(
                    f"the engine has no refittable weights {', '.join(lacking[:_SHOWN])}, which "
                    f"are made of {', '.join(keys[:_SHOWN])}",
                    fix="build the engine again with the new weights",
                )
            )

    def _require_known(self, wanted: set[str], state: Mapping[str, torch.Tensor]) -> None:
        needed = {key for name in wanted for key in self.recipes.needs(name)}
        lacking = sorted(needed - state.keys())
        if lacking:
            raise RunError(
                explain(
                    f"these weights are merged with {len(lacking)} others, which a loaded engine "
                    f"does not know: {', '.join(lacking[:_SHOWN])}",
                    fix="give these as well; after a whole state_dict parts of it are enough",
                )
            )


def _weights(trt: Any, value: torch.Tensor) -> Any:
    import torch

    if value.dtype is torch.bfloat16:
        return trt.Weights(trt.DataType.BF16, value.data_ptr(), value.numel())
    return trt.Weights(value.numpy())
