"""What `linear.cu` takes from a Hopper GPU, as C++: clusters, barriers, boxes, products."""

from __future__ import annotations

import ctypes
from typing import Any

from trtdsl.extension.tensor_map import TensorMap

__all__ = ["CLUSTERS", "HOPPER", "encoded"]

HOPPER = r"""
#include <condition_variable>
#include <map>
#include <mutex>
#define __cluster_dims__(...)
#define __grid_constant__
typedef uintptr_t Place;
// Two blocks at once, and what is theirs.
static std::vector<unsigned char> memories[2];
static std::barrier<>* cluster_meets;
static std::barrier<>* turns[2][2];
struct Counted { int arrivals, missing, bytes; unsigned phase; };
static std::map<Place, Counted> barriers;
static std::mutex one_by_one;
static std::condition_variable completed;

inline unsigned rank_in_cluster() { return blockIdx.x % 2; }
inline Place memory_of(unsigned rank) {
    return ((Place)memories[rank].data() + 1023) / 1024 * 1024;
}
inline Place shared_memory() { return memory_of(rank_in_cluster()); }
inline Place of_rank(Place place, unsigned rank) {
    return place - shared_memory() + memory_of(rank);
}
inline void meet_cluster() { cluster_meets->arrive_and_wait(); }
inline void all_begun() {}
inline void begin(Place barrier, int arrivals) {
    std::lock_guard<std::mutex> held(one_by_one);
    barriers[barrier] = {arrivals, arrivals, 0, 0};
}
// PTX ISA, "Phase Completion of the mbarrier object".
inline void counted(Place barrier, int arrivals, int bytes) {
    std::lock_guard<std::mutex> held(one_by_one);
    Counted& state = barriers.at(barrier);
    state.missing -= arrivals;
    state.bytes += bytes;
    if (state.missing < 0) std::abort();
    if (state.missing || state.bytes) return;
    state.missing = state.arrivals;
    ++state.phase;
    completed.notify_all();
}
inline void wait_for(Place barrier, unsigned parity) {
    std::unique_lock<std::mutex> held(one_by_one);
    completed.wait(held, [&] { return (barriers.at(barrier).phase & 1) != parity; });
}
inline void expect(Place barrier, int bytes) { counted(barrier, 1, bytes); }
inline void arrive(Place barrier, unsigned rank) { counted(of_rank(barrier, rank), 1, 0); }

// A map as `encoded` has it.
struct Box { const unsigned char* data; long long rank, sizes[4], strides[3], box[4]; };
// PTX ISA, "Swizzling Modes": pieces of 16 bytes change places within 128, by the row in 1024.
inline Place swizzled(Place place) { return place ^ (place / 128 % 8) * 16; }
inline void fetch(Place to, const void* map, const long long (&first)[4], Place barrier) {
    Box it;
    std::memcpy(&it, map, sizeof it);
    int bytes = 0;
    long long at[4] = {};
    for (long long n = 0, all = it.box[0] * it.box[1] * it.box[2] * it.box[3]; n < all; ++n) {
        long long rest = n, from = 0;
        bool inside = true;
        for (int axis = 0; axis < 4; ++axis) {
            at[axis] = first[axis] + rest % it.box[axis];
            rest /= it.box[axis];
            inside &= at[axis] < it.sizes[axis];
            from += at[axis] * (axis ? it.strides[axis - 1] : 2);
        }
        unsigned short element = 0;
        if (inside) std::memcpy(&element, it.data + from, 2);
        std::memcpy((void*)swizzled(to + bytes), &element, 2);
        bytes += 2;
    }
    counted(barrier, 0, -bytes);
}
inline void for_both(Place to, const void* map, const long long (&first)[4], Place barrier) {
    for (unsigned rank = 0; rank < 2; ++rank)
        fetch(of_rank(to, rank), map, first, of_rank(barrier, rank));
}
inline void fetch_rows(Place to, const void* map, int column, int row, int, Place barrier) {
    fetch(to, map, {column, row, 0, 0}, barrier);
}
inline void fetch_rows_for_both(Place to, const void* map, int column, int row, int,
                                Place barrier) {
    for_both(to, map, {column, row, 0, 0}, barrier);
}
inline void fetch_weights(Place to, const void* map, int column, int row, int j, Place barrier) {
    fetch(to, map, {column, 0, row, j}, barrier);
}
inline void fetch_weights_for_both(Place to, const void* map, int column, int row, int j,
                                   Place barrier) {
    for_both(to, map, {column, 0, row, j}, barrier);
}

inline float element(Place rows, int row, int k) {
    T0 x;
    std::memcpy(&x, (const void*)swizzled(rows + row * 128 + k * 2), 2);
    return x;
}
// PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16", accumulator matrix.
template <int BLOCKS, int COUNT>
inline void multiply_stage(float (&sum)[BLOCKS][COUNT], Place rows, Place weights) {
    const int thread = threadIdx.x % 128, lane = thread % 32;
    for (int block = 0; block < BLOCKS; ++block)
        for (int i = 0; i < COUNT; ++i) {
            const int row = block * 64 + thread / 32 * 16 + lane / 4 + i / 2 % 2 * 8;
            const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
            for (int k = 0; k < 64; ++k)
                sum[block][i] += element(rows, row, k) * element(weights, column, k);
        }
}
// Products are done where they are written; the threads of a warp then go on together.
inline void wait_for_all_stages() {
    warp_ends[rank_in_cluster() * 16 + threadIdx.x / 32]->arrive_and_wait();
}
inline void wait_for_all_but_the_last_stage() { wait_for_all_stages(); }
template <int> inline void have_few_registers() {}
template <int> inline void have_many_registers() {}
inline void wait_for_turn(int group) { turns[rank_in_cluster()][group]->arrive_and_wait(); }
inline void pass_turn(int group) { (void)turns[rank_in_cluster()][group]->arrive(); }
"""

CLUSTERS = r"""
template <class... A>
void clusters_of(void (*kernel)(A...), const unsigned* s, void** args, unsigned shared) {
    const unsigned size = s[3];
    for (unsigned b = 0; b < s[0]; b += 2) {
        std::barrier<> meets(2 * size), first(256), second(256), third(256), fourth(256);
        cluster_meets = &meets;
        turns[0][0] = &first, turns[0][1] = &second, turns[1][0] = &third, turns[1][1] = &fourth;
        for (auto& memory : memories) memory.assign(shared + 1024, 0xa5);
        barriers.clear();
        std::deque<std::barrier<>> of_warps;
        for (auto& end : warp_ends) end = &of_warps.emplace_back(32);
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < 2 * size; ++t)
            threads.emplace_back([=] { one(kernel, s, args, b + t / size, t % size); });
        for (std::thread& thread : threads) thread.join();
    }
}
"""


def encoded(map: TensorMap) -> Any:
    """A tensor map as ``fetch`` reads it: axes that there are not have one element."""
    rank = len(map.sizes)
    rest = 4 - rank
    sizes = (*map.sizes, *(1,) * rest), (*map.strides, *(0,) * rest), (*map.box, *(1,) * rest)
    numbers = [map.buffer.pointer, rank, *(n for axes in sizes for n in axes)]
    return (ctypes.c_int64 * 16)(*numbers)
