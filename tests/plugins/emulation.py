"""A plugin's kernel on the CPU: the same source, compiled as C++, its grid run as loops.

It shows that a kernel computes what ``evaluate`` does. A thread runs to its end before the next one
starts; where a source has ``__syncthreads``, a block's threads are the processor's.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tests.plugins.hopper import CLUSTERS, HOPPER, encoded
from trtdsl.extension.ahead_of_time import Embedded
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch, _three, scalar
from trtdsl.extension.tensor_map import TensorMap
from trtdsl.ir.plugin import Plugin
from trtdsl.types import DType, TensorType, bind

COMPILER = shutil.which("g++")

HEADER = r"""
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <thread>
#include <utility>
#include <vector>
using std::min;
using std::size_t;
#define __global__
#define __device__
#define __shared__ static
#define __restrict__
#define __launch_bounds__(...)
struct Three { unsigned x, y, z; };
static thread_local Three threadIdx, blockIdx, blockDim, gridDim;
static std::barrier<>* block_ends;
static std::barrier<>* warp_ends[32];
inline void __syncthreads() { block_ends->arrive_and_wait(); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
struct float16 {
    _Float16 value;
    float16() = default;
    float16(float x) : value((_Float16)x) {}
    operator float() const { return (float)value; }
};
struct bfloat16 {
    uint16_t bits;
    bfloat16() = default;
    bfloat16(float x) {
        uint32_t b;
        std::memcpy(&b, &x, 4);
        bits = (b + 0x7fff + (b >> 16 & 1)) >> 16;
    }
    operator float() const {
        uint32_t b = (uint32_t)bits << 16;
        float x;
        std::memcpy(&x, &b, 4);
        return x;
    }
};
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float power_of_2(float x) { return std::exp2(x); }
inline float inverse(float x) { return 1.0f / x; }
inline float largest(float x, float y) { return x != x ? x : y != y ? y : x > y ? x : y; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
typedef float float32;
typedef signed char int8;
typedef unsigned char uint8;
typedef int int32;
typedef long long int64;
inline void sincospif(float x, float* sine, float* cosine) {
    *sine = (float)std::sin(M_PI * x);
    *cosine = (float)std::cos(M_PI * x);
}
inline float __int_as_float(int bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
inline double __longlong_as_double(long long bits) {
    double x;
    std::memcpy(&x, &bits, 8);
    return x;
}
template <class... A, size_t... I>
void started(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*(A*)args[I]...);
}
template <class... A>
void one(void (*kernel)(A...), const unsigned* s, void** args, unsigned b, unsigned t) {
    gridDim = {s[0], s[1], s[2]};
    blockDim = {s[3], s[4], s[5]};
    blockIdx = {b % s[0], b / s[0] % s[1], b / s[0] / s[1]};
    threadIdx = {t % s[3], t / s[3] % s[4], t / s[3] / s[4]};
    started(kernel, args, std::index_sequence_for<A...>());
}
template <class... A>
void grid_of(void (*kernel)(A...), const unsigned* s, void** args, bool together) {
    const unsigned blocks = s[0] * s[1] * s[2], size = s[3] * s[4] * s[5];
    for (unsigned b = 0; b < blocks; ++b) {
        if (!together) {
            for (unsigned t = 0; t < size; ++t) one(kernel, s, args, b, t);
            continue;
        }
        std::barrier<> ends(size);
        block_ends = &ends;
        std::deque<std::barrier<>> of_warps;
        for (unsigned w = 0; w < size / 32; ++w) warp_ends[w] = &of_warps.emplace_back(32);
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < size; ++t)
            threads.emplace_back([=] { one(kernel, s, args, b, t); });
        for (std::thread& thread : threads) thread.join();
    }
}
"""

WARPS = r"""
#define __align__(n) __attribute__((aligned(n)))
// What the threads of a warp tell each other: each a line, and all of them read.
struct Line { unsigned words[8]; };
static Line told[32][32];
template <class R> auto exchanged(const Line& own, R read) {
    const unsigned warp = threadIdx.x / 32;
    told[warp][threadIdx.x % 32] = own;
    warp_ends[warp]->arrive_and_wait();
    auto result = read(told[warp]);
    warp_ends[warp]->arrive_and_wait();
    return result;
}
inline float __shfl_xor_sync(unsigned, float x, int distance) {
    Line own = {};
    std::memcpy(own.words, &x, 4);
    return exchanged(own, [&](const Line* lines) {
        float y;
        std::memcpy(&y, lines[threadIdx.x % 32 ^ distance].words, 4);
        return y;
    });
}
"""
"""The threads of a warp one beside the other."""

PACKED = r"""
inline unsigned packed(float low, float high) {
    const T0 both[2] = {T0(low), T0(high)};
    unsigned word;
    std::memcpy(&word, both, 4);
    return word;
}
"""
"""Two 16-bit numbers in a register."""

MATRIX_UNITS = r"""
inline T0 half_of(unsigned word, int i) {
    T0 x;
    unsigned short bits = word >> 16 * i;
    std::memcpy(&x, &bits, 2);
    return x;
}
struct Four { float x[4]; };
struct FourWords { unsigned x[4]; };
// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
inline void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    Line own = {{a[0], a[1], a[2], a[3], b0, b1}};
    const int lane = threadIdx.x % 32;
    Four more = exchanged(own, [&](const Line* lines) {
        Four y = {};
        for (int i = 0; i < 4; ++i)
            for (int k = 0; k < 16; ++k) {
                const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                const int word = row / 8 + k / 8 * 2, from = row % 8 * 4 + k % 8 / 2;
                const float x = half_of(lines[from].words[word], k % 2);
                y.x[i] += x * half_of(lines[column * 4 + k % 8 / 2].words[4 + k / 8], k % 2);
            }
        return y;
    });
    for (int i = 0; i < 4; ++i) sum[i] += more.x[i];
}
// PTX ISA, "ldmatrix".
inline void load_matrices(unsigned (&parts)[4], const T0* row, bool transposed) {
    Line own = {};
    std::memcpy(own.words, &row, sizeof row);
    const int lane = threadIdx.x % 32;
    FourWords read = exchanged(own, [&](const Line* lines) {
        FourWords y = {};
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 2; ++j) {
                int line = lane / 4, at = lane % 4 * 2 + j;
                if (transposed) std::swap(line, at);
                const T0* from;
                std::memcpy(&from, lines[i * 8 + line].words, sizeof from);
                unsigned short bits;
                std::memcpy(&bits, from + at, 2);
                y.x[i] |= (unsigned)bits << 16 * j;
            }
        return y;
    });
    std::memcpy(parts, read.x, sizeof parts);
}
inline void load(unsigned (&parts)[4], const T0* row) { load_matrices(parts, row, false); }
inline void load_transposed(unsigned (&parts)[4], const T0* row) {
    load_matrices(parts, row, true);
}
inline float from_lane(float x, int distance) { return __shfl_xor_sync(~0u, x, distance); }
inline void copy(T0* to, const T0* from, bool there) {
    for (int i = 0; i < 8; ++i) to[i] = there ? from[i] : T0(0.0f);
}
inline void copies_begun() {}
inline void wait_for_all_but_the_last() {}
"""
"""What `flash_attention.cu` takes from a GPU besides."""

_BOUNDS = r"(?:__(?:launch_bounds|cluster_dims)__\([^)]*\)\s+)*"
_KERNEL = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)')


@cache
def library(source: str, defines: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    """The kernels of a source, each as ``on_cpu_NAME(sizes, args)``."""
    assert COMPILER, "no g++"
    together = str("__syncthreads" in source).lower()
    hopper = "wgmma" in source
    start = f"grid_of({{}}, sizes, args, {together})"
    start = "clusters_of({}, sizes, args, shared)" if hopper else start
    starts = "".join(
        f'extern "C" void on_cpu_{name}(const unsigned* sizes, void** args, unsigned shared) '
        f"{{ {start.format(name)}; }}\n"
        for name in _KERNEL.findall(source)
    )
    units = f"{PACKED}{HOPPER}{CLUSTERS}" if hopper else ""
    units = f"{PACKED}{MATRIX_UNITS}" if "mma.sync" in source else units
    text = f"{HEADER}{WARPS}{units}#line 1\n{source}\n{starts}"
    macros = [f"-D{name}={value}" for name, value in defines]
    command = [
        COMPILER,
        "-std=c++20",
        "-O1",
        "-ffp-contract=off",
        "-fno-gnu-unique",  # the shared memory of a template is each library's own
        "-fPIC",
        "-shared",
        "-pthread",
        *macros,
    ]
    with TemporaryDirectory() as folder:
        path, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        path.write_text(text)
        done = subprocess.run(
            [*command, "-o", str(made), str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(made))  # which stays loaded without its file


def types_of(values: tuple[torch.Tensor, ...]) -> tuple[TensorType, ...]:
    return tuple(TensorType(DType.of(x.dtype), tuple(x.shape)) for x in values)


def outputs_of(plugin: Plugin, inputs: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
    result = plugin.infer(*inputs)
    return result if isinstance(result, tuple) else (result,)


def emulate(
    plugin: Plugin, values: tuple[torch.Tensor, ...], *, narrow: bool = False
) -> tuple[torch.Tensor, ...]:
    """The outputs of a plugin's kernels, in memory that began as garbage.

    ``narrow`` has int32 where the types say int64, as TensorRT 8 does.
    """
    values = tuple(x.contiguous() for x in values)
    types = types_of(values)
    results = outputs_of(plugin, types)
    if narrow:
        values = tuple(x.int() if x.dtype is torch.int64 else x for x in values)
        results = tuple(_narrow(t) for t in results)
        types = tuple(map(_narrow, types))
    outputs = tuple(_garbage(t.shape, t.dtype.torch) for t in results)
    _fill(plugin, values, outputs)
    scratch = _garbage((plugin.workspace(*types) + 64,), torch.uint8)
    tensors = (*values, *outputs, scratch)
    buffers = list(map(_buffer, tensors))
    launched = plugin.launch(*buffers[:-1], workspace=buffers[-1])
    dtypes = (t.dtype for t in (*types, *results))
    kernels = library(plugin.kernel, plugin.defines(*dtypes))
    for launch in (launched,) if isinstance(launched, Launch) else launched:
        _start(kernels, launch)
    assert (scratch[-64:] == 0xA5).all(), "written behind the workspace"
    return outputs


def emulate_embedded(
    plan: Embedded, values: tuple[torch.Tensor, ...], sizes: Mapping[str, int]
) -> tuple[torch.Tensor, ...]:
    """The outputs of a kernel that an engine would hold, started as TensorRT would."""
    launch, kind = plan.launch, plan.instance
    inputs = tuple(x.contiguous() for x in values)
    shapes = [tuple(bind(d, sizes) for d in t.shape) for t in plan.outputs]
    outputs = tuple(_garbage(s, t.dtype.torch) for s, t in zip(shapes, plan.outputs, strict=True))
    _fill(kind.plugin, inputs, outputs)
    kernels = library(launch.source, kind.plugin.defines(*kind.inputs, *kind.outputs))
    numbers = [bind(size, sizes) for size in launch.sizes]
    args = (*map(_buffer, inputs), *numbers, *map(_buffer, outputs))
    grid, block = (tuple(bind(d, sizes) for d in three) for three in (launch.grid, launch.block))
    _start(kernels, Launch(kernel=launch.kernel, grid=grid, block=block, args=args))
    return outputs


def _buffer(x: torch.Tensor) -> Buffer:
    return Buffer(x.data_ptr(), tuple(x.shape), DType.of(x.dtype))


def _start(kernels: ctypes.CDLL, launch: Launch) -> None:
    args = [_argument(launch.kernel, arg) for arg in launch.args]
    array = (ctypes.c_void_p * len(args))(*map(ctypes.addressof, args))
    sizes = (ctypes.c_uint * 6)(*_three(launch, "grid"), *_three(launch, "block"))
    getattr(kernels, f"on_cpu_{launch.kernel}")(sizes, array, ctypes.c_uint(launch.shared))


def _argument(kernel: str, arg: Any) -> Any:
    if isinstance(arg, TensorMap):
        return encoded(arg)
    return ctypes.c_void_p(arg.pointer) if isinstance(arg, Buffer) else scalar(kernel, arg)


def _garbage(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    size = torch.empty((), dtype=dtype).element_size()
    count = torch.Size(shape).numel()
    return torch.full((count * size,), 0xA5, dtype=torch.uint8).view(dtype).reshape(shape)


def _fill(plugin: Plugin, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
    """What outputs begin as, where they update an input."""
    for output, source in plugin.aliases.items():
        outputs[output].copy_(inputs[source])


def _narrow(x: TensorType) -> TensorType:
    return x.with_dtype(DType.INT32) if x.dtype is DType.INT64 else x
