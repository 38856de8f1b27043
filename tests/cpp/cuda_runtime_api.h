// As much of CUDA as examples/cpp/run.cpp calls, in the host's memory; blocks that are not freed count.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
using cudaStream_t = int*;

struct Blocks {
    long count = 0;
    ~Blocks() {
        if (count != 0) std::fprintf(stderr, "stand-in: %ld blocks were not freed\n", count);
    }
};
inline Blocks blocks;

inline char const* cudaGetErrorString(cudaError_t) { return "out of memory"; }
inline cudaError_t cudaMalloc(void** address, size_t bytes) {
    *address = std::malloc(bytes);
    ++blocks.count;
    return cudaSuccess;
}
inline cudaError_t cudaFree(void* address) {
    if (address != nullptr) --blocks.count;
    std::free(address);
    return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, void const* from, size_t bytes, cudaMemcpyKind) {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, void const* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    return cudaMemcpy(to, from, bytes, kind);
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    *stream = new int;
    return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
