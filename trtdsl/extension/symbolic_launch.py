"""A launch whose grid and arguments are expressions of sizes, and the kernel that it starts.

TensorRT starts a kernel that an engine holds with pointers to the inputs, then whole numbers that
it computes from sizes, then pointers to the outputs, and with nothing else. So the kernel is
wrapped in one that takes these and gives it what ``launch`` says, attributes as constants.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import BuildError
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch, launches_of, scalar
from trtdsl.extension.tensor_map import TensorMap
from trtdsl.extension.unknown_size import Unknowns, UnknownSize
from trtdsl.ir.plugin import Plugin
from trtdsl.types import Dim, DimRange, DType, TensorType, bounds, symbols

__all__ = ["NotSymbolicError", "SymbolicLaunch", "symbolic_launch"]

_SHARED = 48 << 10
"""Bytes of shared memory that a kernel may ask for without the driver being told before."""
_WHOLE = {1: "char", 2: "short", 4: "int", 8: "long long"}
"""C's whole numbers by their size in bytes."""

_SOURCE = """\
struct trtdsl_pointer {{
    void* address;
    template <class T> __device__ operator T*() const {{ return (T*)address; }}
}};
static __device__ void trtdsl_body({parameters});
extern "C" __global__ {bounds}void {entry}({parameters}) {{
    trtdsl_body({names});
}}
// From here on kernels are functions, which the one above calls.
#undef __global__
#define __global__
#undef __launch_bounds__
#define __launch_bounds__(...)
#line 1
{source}
static __device__ void trtdsl_body({parameters}) {{
    {kernel}({arguments});
}}
"""


class NotSymbolicError(Exception):
    """Why a plugin's kernel cannot be started by TensorRT alone."""


@dataclass(frozen=True, kw_only=True)
class SymbolicLaunch:
    """``kernel``, of a CUDA C++ ``source``, and how to start it.

    It takes a pointer to each input, an ``int`` for each of ``sizes`` and a pointer to each output.
    """

    source: str
    kernel: str
    grid: tuple[Dim, Dim, Dim]
    block: tuple[Dim, Dim, Dim]
    shared: Dim
    sizes: tuple[Dim, ...]


def symbolic_launch(
    plugin: Plugin,
    inputs: Sequence[TensorType],
    outputs: Sequence[TensorType],
    ranges: Mapping[str, DimRange],
) -> SymbolicLaunch:
    """The launch of a plugin's one kernel for every size that the symbols may have.

    Errors: NotSymbolicError says what about the plugin is in the way; BuildError for arguments
    that no kernel takes.
    """
    if plugin.queues_from_python():
        raise NotSymbolicError("its kernel is queued from Python")
    if boundless := symbols(d for t in (*inputs, *outputs) for d in t.shape) - ranges.keys():
        raise NotSymbolicError(f"the size {min(boundless)} has no greatest value")
    unknowns = Unknowns(ranges)
    types = [t.with_shape([unknowns.size(d) for d in t.shape]) for t in (*inputs, *outputs)]
    space = _asked(plugin, "workspace", *types[: len(inputs)])
    if isinstance(space, UnknownSize) or space:
        raise NotSymbolicError("it needs a workspace")
    buffers = [Buffer(0, t.shape, t.dtype) for t in types]
    nothing = Buffer(0, (), DType.UINT8)
    launches = launches_of(plugin, _asked(plugin, "launch", *buffers, workspace=nothing))
    if len(launches) != 1:
        raise NotSymbolicError(f"it starts {len(launches)} kernels, and TensorRT one")
    names = {id(b): f"x{i}" for i, b in enumerate(buffers[: len(inputs)])}
    names |= {id(b): f"y{i}" for i, b in enumerate(buffers[len(inputs) :])}
    names[id(nothing)] = "nullptr"
    return _Wrapping(plugin.kernel, launches[0], names, unknowns, ranges).launch()


def _asked(plugin: Plugin, method: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return getattr(plugin, method)(*args, **kwargs)
    except Exception as error:
        said = f"its {method}() needs sizes that only a run knows: {type(error).__name__}: {error}"
        raise NotSymbolicError(said) from error


class _Wrapping:
    """The kernel around another, while its arguments are collected."""

    def __init__(
        self,
        source: str,
        launch: Launch,
        names: Mapping[int, str],
        unknowns: Unknowns,
        ranges: Mapping[str, DimRange],
    ) -> None:
        self.source = source
        self.given = launch
        self.names = names
        self.unknowns = unknowns
        self.ranges = ranges
        self.sizes: list[Dim] = []

    def launch(self) -> SymbolicLaunch:
        grid, block = self.three("grid"), self.three("block")
        shared = self.whole(self.given.shared)
        if bounds(shared, self.ranges)[1] > _SHARED:
            raise NotSymbolicError(f"it takes more than {_SHARED} bytes of shared memory")
        arguments = [self.argument(a) for a in self.given.args]
        entry = f"trtdsl_{self.given.kernel}"
        numbers = [f"n{i}" for i in range(len(self.sizes))]
        tensors = [name for name in self.names.values() if name != "nullptr"]
        inputs = [name for name in tensors if name.startswith("x")]
        outputs = tensors[len(inputs) :]
        parameters = [f"void* {x}" for x in inputs] + [f"int {n}" for n in numbers]
        parameters += [f"void* {y}" for y in outputs]
        source = _SOURCE.format(
            parameters=", ".join(parameters),
            bounds=_launch_bounds(block),
            entry=entry,
            names=", ".join((*inputs, *numbers, *outputs)),
            source=self.source,
            kernel=self.given.kernel,
            arguments=", ".join(arguments),
        )
        return SymbolicLaunch(
            source=source,
            kernel=entry,
            grid=grid,
            block=block,
            shared=shared,
            sizes=tuple(self.sizes),
        )

    def three(self, what: str) -> tuple[Dim, Dim, Dim]:
        """Three sizes of a grid or block, which are at least 1 for every size."""
        given = getattr(self.given, what)
        sizes = tuple(given) if isinstance(given, tuple | list) else (given,)
        if not 1 <= len(sizes) <= 3:
            raise BuildError(f"a grid or block has 1 to 3 sizes, not {sizes}")
        for size in sizes:
            try:
                empty = not size >= 1
            except TypeError:
                empty = True
            if empty:
                raise NotSymbolicError(f"its {what} of {size} may be empty")
        x, y, z = (*map(self.whole, sizes), 1, 1)[:3]
        return x, y, z

    def whole(self, value: Any) -> Dim:
        """A whole number, as an expression of the network's sizes."""
        try:
            return self.unknowns.expression(value)
        except TypeError as error:
            raise NotSymbolicError(str(error)) from error

    def argument(self, value: Any) -> str:
        """An argument in C++."""
        if isinstance(value, Buffer):
            if id(value) not in self.names:
                raise BuildError(
                    f"kernel {self.given.kernel} is given a buffer that is none of its tensors"
                )
            return f"trtdsl_pointer{{{self.names[id(value)]}}}"
        if isinstance(value, TensorMap):
            raise NotSymbolicError("it takes a tensor map, which is made for each pointer")
        if value is None:
            return "trtdsl_pointer{nullptr}"
        if isinstance(value, UnknownSize):
            return self.size(value)
        return _literal(scalar(self.given.kernel, value))

    def size(self, value: UnknownSize) -> str:
        size = self.whole(value)
        low, high = bounds(size, self.ranges)
        if not -(2**31) <= low <= high < 2**31:
            raise NotSymbolicError(f"its argument {value} may be {high}, which does not fit an int")
        if size not in self.sizes:
            self.sizes.append(size)
        return f"n{self.sizes.index(size)}"


def _launch_bounds(block: tuple[Dim, Dim, Dim]) -> str:
    x, y, z = block
    known = all(isinstance(size, int) for size in block)
    return f"__launch_bounds__({x * y * z}) " if known else ""


def _literal(value: Any) -> str:
    """A number of ctypes' in C++, bit by bit."""
    bits = int.from_bytes(bytes(value), "little")
    if isinstance(value, ctypes.c_float):
        return f"__int_as_float(0x{bits:08x})"
    if isinstance(value, ctypes.c_double):
        return f"__longlong_as_double(0x{bits:016x}LL)"
    if isinstance(value, ctypes.c_bool):
        return "true" if bits else "false"
    sign = "unsigned" if value._type_ in "BHILQ" else "signed"
    return f"({sign} {_WHOLE[ctypes.sizeof(value)]})0x{bits:x}ULL"
