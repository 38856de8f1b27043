// Rows times a matrix of weights, plus a bias, through a function: by Hopper's matrix units.
//
// A block has tiles of the result. One of its warps has stages of rows and weights fetched, and its
// groups of 128 threads multiply them: all of them parts of one tile, or each a tile of its own in
// turns, so that one multiplies while another one finishes. Two blocks, a cluster, have tiles next
// to each other, and what both of them read is fetched once, a half by each.
//
// Rows of a stage are 128 bytes, swizzled. Weights are in such an order that a thread's numbers are
// eight columns next to each other: column 8 p + 2 j + e of a tile is row (j, p, e) of its weights.
// Sources: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions", "Tensor-maps", "mbarrier".

constexpr int DEEP = 64;   // elements of a row in a stage
constexpr int ROW = 128;   // bytes of it
constexpr int GROUP = 128; // threads

// A tensor map, as the driver encodes it.
struct alignas(64) Map {
    unsigned char opaque[128];
};

#ifdef __CUDA_ARCH__  // what else follows is the machine's

#define QUOTED(x) #x
#define TEXT(x) QUOTED(x)

typedef unsigned Place;  // in shared memory

inline Place shared_memory() {
    extern __shared__ __align__(1024) unsigned char memory[];
    return (Place)__cvta_generic_to_shared(memory);
}

inline unsigned rank_in_cluster() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

inline void meet_cluster() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

inline void begin(Place barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

inline void all_begun() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

inline void wait_for(Place barrier, unsigned parity) {
    unsigned done;
    do
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;"
                     "selp.u32 %0, 1, 0, p;}"
                     : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    while (!done);
}

inline void expect(Place barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                 "r"(bytes) : "memory");
}

inline void arrive(Place barrier, unsigned rank) {
    asm volatile("{.reg .b32 there; mapa.shared::cluster.u32 there, %0, %1;"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];}" ::"r"(barrier), "r"(rank)
                 : "memory");
}

#define FETCH(NAME, DIMS, FROM, CAST, FOR)                                                      \
    inline void NAME(Place to, const Map* map, int column, int row, int j, Place barrier) {     \
        asm volatile("cp.async.bulk.tensor." DIMS ".shared::cluster.global"                     \
                     ".mbarrier::complete_tx::bytes" CAST " [%0], [%1, " FROM "], [%2]" FOR ";" \
                     ::"r"(to), "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(0), "r"(j),  \
                     "h"((unsigned short)3) : "memory");                                        \
    }
FETCH(fetch_rows, "2d", "{%3, %4}", "", "")
FETCH(fetch_rows_for_both, "2d", "{%3, %4}", ".multicast::cluster", ", %7")
FETCH(fetch_weights, "4d", "{%3, %5, %4, %6}", "", "")
FETCH(fetch_weights_for_both, "4d", "{%3, %5, %4, %6}", ".multicast::cluster", ", %7")

#define SUMS_64                                                                                    \
    "%2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
    "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "   \
    "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, "   \
    "%58, %59, %60, %61, %62, %63, %64, %65"
#define SUMS_96                                                                                    \
    SUMS_64 ", %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, "   \
    "%82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97"
#define F4(i) "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3])
#define F16(i) F4(i), F4(i + 4), F4(i + 8), F4(i + 12)
#define FLOATS_64 F16(0), F16(16), F16(32), F16(48)
#define FLOATS_96 FLOATS_64, F16(64), F16(80)
#define MULTIPLY(WIDE, COUNT)                                                                   \
    inline void multiply(float (&sum)[COUNT], unsigned long long a, unsigned long long b) {     \
        asm volatile("{.reg .pred p; setp.eq.u32 p, 0, 0;"                                      \
                     "wgmma.mma_async.sync.aligned.m64n" #WIDE "k16.f32." TEXT(TYPE) "."        \
                     TEXT(TYPE) " {" SUMS_##COUNT "}, %0, %1, p, 1, 1, 0, 0;}"                  \
                     : "+l"(a), "+l"(b), FLOATS_##COUNT);                                       \
    }
MULTIPLY(128, 64)
MULTIPLY(192, 96)

// Where a matrix of swizzled rows begins: eight of them take 1024 bytes.
inline unsigned long long matrix(Place place) {
    return (unsigned long long)((place & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

// The products of a stage: 64 rows with all columns, 16 elements at a time.
template <int BLOCKS, int COUNT>
inline void multiply_stage(float (&sum)[BLOCKS][COUNT], Place rows, Place weights) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < DEEP / 16; ++k)
#pragma unroll
        for (int block = 0; block < BLOCKS; ++block)
            multiply(sum[block], matrix(rows + block * 64 * ROW + k * 32), matrix(weights + k * 32));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

inline void wait_for_all_but_the_last_stage() {
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
}
inline void wait_for_all_stages() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }

template <int COUNT> inline void have_few_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT> inline void have_many_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

// Group after group: each waits until the one before it has begun all of its products.
inline void wait_for_turn(int group) { asm volatile("bar.sync %0, 256;" ::"r"(group + 1) : "memory"); }
inline void pass_turn(int group) { asm volatile("bar.arrive %0, 256;" ::"r"(group + 1) : "memory"); }

inline unsigned packed(float low, float high) {
    unsigned both;
    asm("cvt.rn." TEXT(TYPE) "x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

#endif

inline float after(float x) {
    if (FUNCTION == 1) return largest(x, 0.0f);
    if (FUNCTION == 2) return gelu_of(x);
    if (FUNCTION == 3) return gelu_by_tanh_of(x);
    return x;
}

struct Tiles {
    int tall, count;  // a cluster has two of them
    bool abreast;     // the two are next to each other in one row of tiles, not in one column
    unsigned rank;

    int row(int tile) const { return abreast ? tile % tall : tile % tall * 2 + rank; }
    int column(int tile) const { return abreast ? tile / tall * 2 + rank : tile / tall; }
};

template <int HIGH, int WIDE> inline Tiles tiles_of(int rows, int columns, bool abreast) {
    int tall = (rows + HIGH - 1) / HIGH, across = (columns + WIDE - 1) / WIDE;
    (abreast ? across : tall) = ((abreast ? across : tall) + 1) / 2;
    return {tall, tall * across, abreast, rank_in_cluster()};
}

// The stages, one after the other and again from the first one.
template <int STAGES> struct Ring {
    int stage = 0;
    unsigned parity = 0;

    void forward(int steps) {
        stage += steps;
        parity ^= stage / STAGES & 1;
        stage %= STAGES;
    }
};

// Eight columns of a row at a time: each thread has those of two rows, eight apart, of every 64.
template <int BLOCKS, int WIDE>
inline void finish(const float (&sum)[BLOCKS][WIDE / 2], const T0* bias, T0* y, int row, int column,
                   int rows, int columns) {
#pragma unroll
    for (int i = 0; i < WIDE / 32; ++i) {
        const int first = column + 32 * i;
        if (first >= columns) continue;
        uint4 offsets = {};
        if (bias) offsets = *(const uint4*)(bias + first);
#pragma unroll
        for (int block = 0; block < BLOCKS; ++block)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                unsigned words[4];
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const T0* offset = (const T0*)&offsets + 2 * j;
                    const float* of = sum[block] + WIDE / 8 * j + 4 * i + 2 * half;
                    words[j] = packed(after(of[0] + float(offset[0])), after(of[1] + float(offset[1])));
                }
                const int at = row + 64 * block + 8 * half;
                uint4* to = (uint4*)(y + (size_t)at * columns + first);
                if (at < rows) *to = uint4{words[0], words[1], words[2], words[3]};
            }
    }
}

// TEAMS of GROUPS of threads; a team has a tile, and each group of it BLOCKS of 64 rows.
template <int TEAMS, int GROUPS, int BLOCKS, int WIDE, int STAGES>
inline void linear(const Map* rows_map, const Map* weights_map, const T0* bias, T0* y, int rows,
                   int columns, int depth, bool abreast) {
    constexpr int HIGH = 64 * BLOCKS * GROUPS, STAGE = (HIGH + WIDE) * ROW;
    const Place memory = shared_memory(), full = memory + STAGES * STAGE, empty = full + 8 * STAGES;
    if (threadIdx.x == 0)
        for (int stage = 0; stage < STAGES; ++stage) {
            begin(full + 8 * stage, 1);
            begin(empty + 8 * stage, 2 * GROUPS * (GROUP / 32));  // by each warp of both blocks
        }
    all_begun();
    meet_cluster();
    const Tiles tiles = tiles_of<HIGH, WIDE>(rows, columns, abreast);
    const int steps = (depth + DEEP - 1) / DEEP, clusters = gridDim.x / 2;
    Ring<STAGES> ring;
    if (threadIdx.x < GROUP) {
        have_few_registers<TEAMS * GROUPS == 3 ? 32 : 24>();
        for (int tile = blockIdx.x / 2; tile < tiles.count && threadIdx.x == 0; tile += clusters)
            for (int step = 0; step < steps; ++step, ring.forward(1)) {
                const int k = step * DEEP, row = tiles.row(tile) * HIGH;
                const int part = tiles.column(tile) * (WIDE / 8);
                const Place a = memory + ring.stage * STAGE, b = a + HIGH * ROW;
                const Place there = full + 8 * ring.stage, second = tiles.rank * ROW;
                wait_for(empty + 8 * ring.stage, ring.parity ^ 1);
                expect(there, STAGE);
                if (abreast) {
                    fetch_rows_for_both(a + HIGH / 2 * second, rows_map, k,
                                        row + HIGH / 2 * tiles.rank, 0, there);
                    fetch_weights(b, weights_map, k, part, 0, there);
                    fetch_weights(b + WIDE / 2 * ROW, weights_map, k, part, 2, there);
                } else {
                    fetch_rows(a, rows_map, k, row, 0, there);
                    fetch_rows(a + HIGH / 2 * ROW, rows_map, k, row + HIGH / 2, 0, there);
                    fetch_weights_for_both(b + WIDE / 2 * second, weights_map, k, part,
                                           2 * tiles.rank, there);
                }
            }
    } else {
        have_many_registers<TEAMS * GROUPS == 3 ? 160 : 240>();
        const int thread = threadIdx.x % GROUP, group = threadIdx.x / GROUP - 1;
        const int lane = thread % 32;
        int turn = 0;
        for (int tile = blockIdx.x / 2; tile < tiles.count; tile += clusters, ++turn) {
            if (turn % TEAMS != group / GROUPS) {
                ring.forward(steps);
                continue;
            }
            float sum[BLOCKS][WIDE / 2];
#pragma unroll
            for (int i = 0; i < BLOCKS * WIDE / 2; ++i) sum[i / (WIDE / 2)][i % (WIDE / 2)] = 0.0f;
            if (TEAMS > 1 && turn) wait_for_turn(group);
            Place before = 0;  // the barrier of the stage that is being read still
            for (int step = 0; step < steps; ++step, ring.forward(1)) {
                wait_for(full + 8 * ring.stage, ring.parity);
                const Place a = memory + ring.stage * STAGE, b = a + HIGH * ROW;
                multiply_stage(sum, a + group % GROUPS * BLOCKS * 64 * ROW, b);
                wait_for_all_but_the_last_stage();
                if (step && lane < 2) arrive(before, lane);
                before = empty + 8 * ring.stage;
            }
            if (TEAMS > 1 && tile + clusters < tiles.count) pass_turn(1 - group);
            wait_for_all_stages();
            if (lane < 2) arrive(before, lane);
            const int row = tiles.row(tile) * HIGH + group % GROUPS * BLOCKS * 64;
            finish<BLOCKS, WIDE>(sum, bias, y, row + thread / 32 * 16 + lane / 4,
                                 tiles.column(tile) * WIDE + lane % 4 * 8, rows, columns);
        }
    }
    meet_cluster();  // neither ends while the other one writes into its memory
}

#define PARAMETERS                                                                            \
    const __grid_constant__ Map rows_map, const __grid_constant__ Map weights_map,            \
        const T0 *bias, T0 *y, int rows, int columns, int depth, bool abreast
#define ARGUMENTS &rows_map, &weights_map, bias, y, rows, columns, depth, abreast

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(512, 1)
    one_of_192_by_192(PARAMETERS) {
    linear<1, 3, 1, 192, 4>(ARGUMENTS);
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
    turns_of_192_by_128(PARAMETERS) {
    linear<2, 1, 3, 128, 5>(ARGUMENTS);
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
    turns_of_128_by_128(PARAMETERS) {
    linear<2, 1, 2, 128, 6>(ARGUMENTS);
}
