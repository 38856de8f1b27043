"""CUDA C++ to machine code or PTX, by NVRTC, which comes with PyTorch and with the CUDA toolkit.

Source: https://docs.nvidia.com/cuda/nvrtc/.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from trtdsl.errors import BuildError, UnavailableError, explain

__all__ = ["PRELUDE", "compile_cuda", "compile_ptx"]

PRELUDE = """\
// The types of tensors, by trtdsl's names, without a header of the CUDA toolkit.
struct float16 {
    unsigned short bits;
    float16() = default;
    __device__ float16(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
};
struct bfloat16 {
    unsigned short bits;
    bfloat16() = default;
    __device__ bfloat16(float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
};
typedef float float32;
typedef signed char int8;
typedef unsigned char uint8;
typedef int int32;
typedef long long int64;
"""
"""What every kernel's source starts with."""


@cache
def compile_cuda(source: str, architecture: str, defines: tuple[tuple[str, str], ...]) -> bytes:
    """A CUBIN of CUDA C++ for ``architecture`` (``"90"``), kept for this process.

    ``source`` follows ``PRELUDE``; ``defines`` are macros, as of ``-D``.
    Errors: BuildError with the compiler's messages; UnavailableError where NVRTC is not found.
    """
    return _compiled(source, f"sm_{architecture}", defines, "CUBIN")


@cache
def compile_ptx(source: str, architecture: str, defines: tuple[tuple[str, str], ...]) -> str:
    """The PTX of CUDA C++ for ``architecture`` and later ones; otherwise as ``compile_cuda``."""
    return _compiled(source, f"compute_{architecture}", defines, "PTX").rstrip(b"\0").decode()


def _compiled(source: str, target: str, defines: tuple[tuple[str, str], ...], form: str) -> bytes:
    library = _library()
    program = ctypes.c_void_p()
    text = f"{PRELUDE}#line 1\n{source}"
    _call("nvrtcCreateProgram", ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    try:
        options = [f"--gpu-architecture={target}", "--std=c++17", "-default-device"]
        options += [f"-D{name}={value}" for name, value in defines]
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        if library.nvrtcCompileProgram(program, len(options), array):
            log = _read("nvrtcGetProgramLogSize", "nvrtcGetProgramLog", program)
            said = log.rstrip(b"\0").decode(errors="replace").strip()
            raise BuildError(f"a plugin's kernel does not compile:\n{said}")
        return _read(f"nvrtcGet{form}Size", f"nvrtcGet{form}", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _read(size_of: str, get: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _call(size_of, program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(get, program, buffer)
    return buffer.raw


def _call(name: str, *args: object) -> None:
    library = _library()
    status = getattr(library, name)(*args)
    if status:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        reason = library.nvrtcGetErrorString(status) or b"unknown"
        raise BuildError(f"NVRTC refused {name}: {reason.decode()} (error {status})")


@cache
def _library() -> ctypes.CDLL:
    tried = []
    for name in _names():
        try:
            return ctypes.CDLL(name)
        except OSError:
            tried.append(name)
    raise UnavailableError(
        explain(
            f"no NVRTC to compile a plugin's kernel with; tried {', '.join(tried)}",
            fix="pip install nvidia-cuda-nvrtc-cu12, or a PyTorch with CUDA",
        )
    )


def _names() -> Iterator[str]:
    """Where NVRTC may be: in NVIDIA's packages for Python, newest first, or installed."""
    spec = find_spec("nvidia")
    for root in spec.submodule_search_locations or () if spec else ():
        found = Path(root).glob("*/lib/libnvrtc.so.*")
        yield from sorted((str(p) for p in found if "builtins" not in p.name), reverse=True)
    yield from ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so")
