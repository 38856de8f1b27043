"""``Loop``: a TensorRT loop under construction, for layers that are lowered to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trtdsl.tensorrt_api import Api

__all__ = ["Loop"]


class Loop:
    """A loop with as many trips as an ITensor has slices along its first axis, if one is given.

    Layers added between ``slices`` and the outputs that read a slice or a state are the body.
    Source: INetworkDefinition.add_loop.
    """

    def __init__(self, api: Api, x: Any = None) -> None:
        from trtdsl.sizes import read_size

        self._trt = api.trt
        self._loop = api.loop()
        if x is None:
            return
        scalar = api.add_shuffle(read_size(api, x, 0))
        scalar.reshape_dims = ()
        self._count = scalar.get_output(0)
        self._loop.add_trip_limit(self._count, api.trt.TripLimit.COUNT)

    def go_on_while(self, condition: Any) -> None:
        """Have no further trip once a bool scalar, made of the loop's states, is false."""
        self._loop.add_trip_limit(condition, self._trt.TripLimit.WHILE)

    def slices(self, x: Any, *, reverse: bool = False) -> Any:
        """The slice ``x[trip]``, or counted from the last one back."""
        return self._loop.add_iterator(x, 0, reverse).get_output(0)

    def state(self, initial: Any) -> Any:
        """An IRecurrenceLayer; ``set_input(1, ...)`` gives it the value of the next trip."""
        return self._loop.add_recurrence(initial)

    def last(self, state: Any) -> Any:
        """The value of a state behind the last trip."""
        return self._loop.add_loop_output(
            state.get_output(0), self._trt.LoopOutput.LAST_VALUE
        ).get_output(0)

    def stacked(self, x: Any, *, reverse: bool = False) -> Any:
        """The values of all trips along a new first axis, with ``reverse`` the last one first."""
        kinds = self._trt.LoopOutput
        layer = self._loop.add_loop_output(x, kinds.REVERSE if reverse else kinds.CONCATENATE, 0)
        layer.set_input(1, self._count)
        return layer.get_output(0)
