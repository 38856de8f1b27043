// Attention of 16-bit numbers by matrix units, whose scores never leave the registers.
//
// A warp has one or two times 16 queries, and a thread of it parts of two in each 16: of `group` and
// `group + 8` the columns `pair` and `pair + 1` of every 8. Keys and values come through shared
// memory, and while a block of them is read the next one arrives. A bias of the keys would change
// all scores of a query alike, and so is never asked for.
// Sources: https://arxiv.org/abs/2307.08691, PTX ISA, "Matrix Fragments for mma.m16n8k16".

constexpr int WIDTH = (HEAD + 15) / 16 * 16;  // of a head, filled up with zeros
constexpr int PITCH = WIDTH + 8;              // so that eight rows lie in different banks
constexpr int KEYS = WIDTH <= 80 ? 64 : 32;   // in a block; two blocks fit 48 KiB
// How many threads a block has at most, and how many blocks there are at once, by their registers.
constexpr int THREADS = WIDTH > 64 && WIDTH <= 80 ? 224 : 128;
constexpr int BLOCKS = WIDTH > 64 && WIDTH <= 80 ? 2 : 3;
constexpr float LOG2_E = 1.44269504f, LOWEST = -32752.0f;

#ifdef __CUDA_ARCH__  // what else follows is the machine's

#define QUOTED(x) #x
#define TEXT(x) QUOTED(x)
#define MMA(SHAPE) "mma.sync.aligned." SHAPE ".row.col.f32." TEXT(TYPE) "." TEXT(TYPE) ".f32 "

#if __CUDA_ARCH__ >= 800
inline void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm(MMA("m16n8k16") "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

inline unsigned packed(float low, float high) {
    unsigned both;
    asm("cvt.rn." TEXT(TYPE) "x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

inline void copy(T0* to, const T0* from, bool there) {
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from),
                 "r"(there ? 16 : 0));
}

inline void copies_begun() { asm volatile("cp.async.commit_group;"); }
inline void wait_for_all_but_the_last() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }
#else
static_assert(sizeof(TEXT(TYPE)) == sizeof("f16"), "bfloat16 needs compute capability 8.0");

inline void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    for (int k = 0; k < 2; ++k)
        asm(MMA("m16n8k8") "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(k ? b1 : b0));
}

inline unsigned packed(float low, float high) {
    return (unsigned)T0(high).bits << 16 | T0(low).bits;
}

inline void copy(T0* to, const T0* from, bool there) {
    *(uint4*)to = there ? *(const uint4*)from : uint4{0, 0, 0, 0};
}

inline void copies_begun() {}
inline void wait_for_all_but_the_last() {}
#endif

// Four matrices of 8 by 8, of which each thread names a row; its parts of them.
inline void load(unsigned (&parts)[4], const T0* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row)));
}

inline void load_transposed(unsigned (&parts)[4], const T0* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row)));
}

inline float from_lane(float x, int distance) { return __shfl_xor_sync(~0u, x, distance); }

inline float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif

#define BELOW_ALL __int_as_float(0xff800000)

// What a mask or a factor for queries has for one head: a stride of 0 repeats it.
struct Rows {
    const T0* first;
    int stride;
};

struct Head {
    const T0 *query, *key, *value;
    const T0 *query_bias, *value_bias;  // or none
    T0* y;
    int query_stride, key_stride, value_stride, y_stride;
    int queries, keys;
    float scale;
    bool causal;
};

inline float largest_of_four(float x) {
    x = fmaxf(x, from_lane(x, 1));
    return fmaxf(x, from_lane(x, 2));
}

inline float sum_of_four(float x) {
    x += from_lane(x, 1);
    return x + from_lane(x, 2);
}

// 16 queries with what has been summed up for them, as parts of a thread.
struct Tile {
    unsigned query[WIDTH / 16][4];
    float score[KEYS / 8][4], y[WIDTH / 8][4], most[2], total[2];
};

// What follows is for one block of keys, of which `kept` are left: all KEYS where it is WHOLE.
typedef T0 Shared[KEYS][PITCH];

template <int COUNT, bool WHOLE, int TILES>
inline void score(Tile (&tiles)[TILES], const Shared& keys, int kept) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < COUNT; ++t)
#pragma unroll
        for (int i = 0; i < KEYS / 2; ++i) tiles[t].score[i / 4][i % 4] = 0.0f;
#pragma unroll
    for (int j = 0; j < KEYS / 16; ++j)
        if (WHOLE || j * 16 < kept)
#pragma unroll
            for (int k = 0; k < WIDTH / 16; ++k) {
                unsigned part[4];
                load(part, &keys[j * 16 + lane / 16 * 8 + lane % 8][k * 16 + lane / 8 % 2 * 8]);
#pragma unroll
                for (int t = 0; t < COUNT; ++t) {
                    multiply(tiles[t].score[2 * j], tiles[t].query[k], part[0], part[1]);
                    multiply(tiles[t].score[2 * j + 1], tiles[t].query[k], part[2], part[3]);
                }
            }
}

// Scores, scaled, plus the mask, both in powers of 2. Numbers that 16 bits turned into infinity
// hide as much as the others that are so low: a query whose keys are all hidden so has an average.
template <bool WHOLE>
inline void add(Tile& tile, const Head& head, Rows mask, int first, int from) {
    const int lane = threadIdx.x % 32, pair = lane % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = min(first + lane / 4 + r * 8, head.queries - 1);
        const T0* given = mask.first + (size_t)row * mask.stride + from + pair;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
            for (int i = 0; i < 2; ++i)
                if (WHOLE || from + pair + n * 8 + i < head.keys) {
                    float& value = tile.score[n][2 * r + i];
                    const float summand = given[n * 8 + i];
                    value = value * head.scale + LOG2_E * (summand < LOWEST ? LOWEST : summand);
                }
    }
}

// Hides what no query may see.
inline void hide(Tile& tile, const Head& head, int first, int from) {
    const int lane = threadIdx.x % 32, pair = lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            int row = first + lane / 4 + i / 2 * 8, column = from + n * 8 + pair + i % 2;
            if (column >= head.keys || (head.causal && column > row))
                tile.score[n][i] = BELOW_ALL;
        }
}

// Scores to weights, and what there was to the new largest score.
template <bool WHOLE>
inline void weigh(Tile& tile, float scale, int kept) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float now = tile.most[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
            now = fmaxf(now, fmaxf(tile.score[n][2 * r], tile.score[n][2 * r + 1]));
        now = largest_of_four(now);
        const float shift = now == BELOW_ALL ? 0.0f : now * scale;
        const float before = power_of_2(tile.most[r] * scale - shift);
        float sum = 0.0f;
        tile.most[r] = now;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
            if (WHOLE || n / 2 * 16 < kept)
#pragma unroll
                for (int i = 2 * r; i < 2 * r + 2; ++i) {
                    tile.score[n][i] = power_of_2(tile.score[n][i] * scale - shift);
                    sum += tile.score[n][i];
                }
        tile.total[r] = tile.total[r] * before + sum;
#pragma unroll
        for (int n = 0; n < WIDTH / 8; ++n) {
            tile.y[n][2 * r] *= before;
            tile.y[n][2 * r + 1] *= before;
        }
    }
}

template <int COUNT, bool WHOLE, int TILES>
inline void sum_up(Tile (&tiles)[TILES], const Shared& values, int kept) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < KEYS / 16; ++j)
        if (WHOLE || j * 16 < kept) {
            unsigned weight[COUNT][4];
#pragma unroll
            for (int t = 0; t < COUNT; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float(&given)[4] = tiles[t].score[2 * j + i / 2];
                    weight[t][i] = packed(given[i % 2 * 2], given[i % 2 * 2 + 1]);
                }
#pragma unroll
            for (int n = 0; n < WIDTH / 16; ++n) {
                unsigned part[4];
                load_transposed(part, &values[j * 16 + lane % 16][n * 16 + lane / 16 * 8]);
#pragma unroll
                for (int t = 0; t < COUNT; ++t) {
                    multiply(tiles[t].y[2 * n], weight[t], part[0], part[1]);
                    multiply(tiles[t].y[2 * n + 1], weight[t], part[2], part[3]);
                }
            }
        }
}

template <bool MASKED, int COUNT, bool WHOLE, int TILES>
inline void take(
    Tile (&tiles)[TILES], const Head& head, Rows mask, const Shared& keys, const Shared& values,
    int first, int from) {
    const int kept = min(KEYS, head.keys - from);
    score<COUNT, WHOLE>(tiles, keys, kept);
#pragma unroll
    for (int t = 0; t < COUNT; ++t) {
        if (MASKED) add<WHOLE>(tiles[t], head, mask, first + 16 * t, from);
        if (!WHOLE) hide(tiles[t], head, first + 16 * t, from);
        weigh<WHOLE>(tiles[t], MASKED ? 1.0f : head.scale, kept);
    }
    sum_up<COUNT, WHOLE>(tiles, values, kept);
}

inline unsigned plus(unsigned both, const T0* bias) {
    union {
        unsigned word;
        T0 each[2];
    } x = {both};
    return packed((float)x.each[0] + (float)bias[0], (float)x.each[1] + (float)bias[1]);
}

// `rows` are the tile's queries.
inline void begin(Tile& tile, const Head& head, const T0 (*rows)[PITCH]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < WIDTH / 16; ++k) {
        load(tile.query[k], &rows[lane % 16][k * 16 + lane / 16 * 8]);
        if (head.query_bias)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                int column = k * 16 + lane % 4 * 2 + i / 2 * 8;
                if (column < HEAD)
                    tile.query[k][i] = plus(tile.query[k][i], head.query_bias + column);
            }
    }
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) tile.y[i / 4][i % 4] = 0.0f;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        tile.most[r] = BELOW_ALL;
        tile.total[r] = 0.0f;
    }
}

// Leaves the tile's answers in `rows`.
template <bool MASKED>
inline void end(const Tile& tile, const Head& head, Rows attending, int first, T0 (*rows)[PITCH]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int place = lane / 4 + r * 8, row = min(first + place, head.queries - 1);
        const float sum = sum_of_four(tile.total[r]);
        bool attends = sum != 0.0f;
        if (MASKED && attending.first)
            attends = attends && (float)attending.first[(size_t)row * attending.stride] != 0.0f;
        const float factor = attends ? 1.0f / sum : 0.0f;
#pragma unroll
        for (int n = 0; n < HEAD / 8; ++n) {
            float y[2] = {tile.y[n][2 * r] * factor, tile.y[n][2 * r + 1] * factor};
            const int column = n * 8 + lane % 4 * 2;
            if (head.value_bias && attends)
                for (int i = 0; i < 2; ++i) y[i] += (float)head.value_bias[column + i];
            *(unsigned*)&rows[place][column] = packed(y[0], y[1]);
        }
    }
}

// Rows on their way to shared memory, zeros behind the last one.
inline void fetch(T0 (*to)[PITCH], int lines, const T0* rows, int stride, int from, int count) {
    for (int i = threadIdx.x; i < lines * (WIDTH / 8); i += blockDim.x) {
        int row = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
        bool there = from + row < count && column < HEAD;
        const T0* given = rows + (there ? (size_t)(from + row) * stride + column : 0);
        copy(&to[row][column], given, there);
    }
}

// Eight numbers, moved at once.
struct __align__(16) Eight {
    unsigned words[4];
};

template <bool MASKED, int TILES>
inline void attend(const Head& head, int block, Rows mask, Rows attending) {
    constexpr int QUERIES = 16 * TILES;  // of a warp
    // Keys and values of one block, those of the next, and of these two first and last the queries.
    __shared__ __align__(16) Shared memory[4];
    T0(*const queries)[PITCH] = memory[2];
    const int together = blockDim.x / 32 * QUERIES, begins = block * together;
    const int warp = threadIdx.x / 32 * QUERIES, first = begins + warp;
    const int left = min(TILES, (head.queries - first + 15) / 16);
    const int seen = head.causal ? min(head.keys, begins + together) : head.keys;

    fetch(queries, together, head.query, head.query_stride, begins, head.queries);
    copies_begun();
    fetch(memory[0], KEYS, head.key, head.key_stride, 0, head.keys);
    fetch(memory[1], KEYS, head.value, head.value_stride, 0, head.keys);
    copies_begun();
    wait_for_all_but_the_last();
    __syncthreads();
    Tile tiles[TILES];
#pragma unroll
    for (int t = 0; t < TILES; ++t) begin(tiles[t], head, queries + warp + 16 * t);
    __syncthreads();

    for (int from = 0, stage = 0; from < seen; from += KEYS, stage ^= 2) {
        if (from + KEYS < seen) {
            fetch(memory[stage ^ 2], KEYS, head.key, head.key_stride, from + KEYS, head.keys);
            fetch(memory[(stage ^ 2) + 1], KEYS, head.value, head.value_stride, from + KEYS, head.keys);
        }
        copies_begun();
        wait_for_all_but_the_last();
        __syncthreads();
        if (left > 0 && !(head.causal && from >= first + QUERIES)) {
            const bool whole = from + KEYS <= (head.causal ? first + 1 : head.keys);
            const Shared &key = memory[stage], &value = memory[stage + 1];
            if (left < TILES)
                take<MASKED, 1, false>(tiles, head, mask, key, value, first, from);
            else if (whole && from + KEYS <= head.keys)
                take<MASKED, TILES, true>(tiles, head, mask, key, value, first, from);
            else
                take<MASKED, TILES, false>(tiles, head, mask, key, value, first, from);
        }
        __syncthreads();
    }
#pragma unroll
    for (int t = 0; t < TILES; ++t)
        if (t < left) end<MASKED>(tiles[t], head, attending, first + 16 * t, queries + warp + 16 * t);
    __syncthreads();
    for (int i = threadIdx.x; i < together * (HEAD / 8); i += blockDim.x) {
        int row = i / (HEAD / 8), column = i % (HEAD / 8) * 8;
        if (begins + row < head.queries)
            *(Eight*)(head.y + (size_t)(begins + row) * head.y_stride + column) =
                *(const Eight*)&queries[row][column];
    }
}

struct Block {
    int number, head, batch;
    inline Block(int queries, int heads, int tiles) {
        int together = blockDim.x / 2 * tiles, blocks = (queries + together - 1) / together;
        int place = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        number = place % blocks;
        head = place / blocks % heads;
        batch = place / blocks / heads;
    }
};

// Strides are those of the batch, of heads and of rows; `sharing` heads of the query read one key.
#define OF_HEADS                                                                              \
    const T0 *query, const T0 *key, const T0 *value, const T0 *bias, T0 *y, int queries,      \
        int keys, int heads, int sharing, float scale, bool causal, int query_first,          \
        int query_batch, int query_head, int query_row, int key_first, int key_batch,         \
        int key_head, int key_row, int value_first, int value_batch, int value_head,          \
        int value_row, int y_batch, int y_head, int y_row

inline size_t place(int batch, int batch_stride, int head, int head_stride) {
    return (size_t)batch * batch_stride + (size_t)head * head_stride;
}

// Biases are those of all heads of the query, and then of the values.
#define HEAD_OF(block)                                                                        \
    {query + query_first + place(block.batch, query_batch, block.head, query_head),           \
     key + key_first + place(block.batch, key_batch, block.head / sharing, key_head),         \
     value + value_first + place(block.batch, value_batch, block.head / sharing, value_head), \
     bias ? bias + block.head * HEAD : 0,                                                     \
     bias ? bias + (heads + block.head / sharing) * HEAD : 0,                                 \
     y + place(block.batch, y_batch, block.head, y_head),                                     \
     query_row, key_row, value_row, y_row, queries, keys, scale * LOG2_E, causal}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention(OF_HEADS) {
    Block block(queries, heads, 1);
    attend<false, 1>(HEAD_OF(block), block.number, {}, {});
}

extern "C" __global__ void __launch_bounds__(128, 2) attention_by_pairs(OF_HEADS) {
    if constexpr (WIDTH <= 64) {  // registers are enough
        Block block(queries, heads, 2);
        attend<false, 2>(HEAD_OF(block), block.number, {}, {});
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) masked_attention(
    OF_HEADS, const T0* mask, int mask_batch, int mask_head, int mask_row, const T0* attending,
    int attending_batch, int attending_head, int attending_row) {
    Block block(queries, heads, 1);
    Rows given = {mask + place(block.batch, mask_batch, block.head, mask_head), mask_row};
    Rows read = {attending, attending_row};
    if (attending)
        read.first += place(block.batch, attending_batch, block.head, attending_head);
    attend<true, 1>(HEAD_OF(block), block.number, given, read);
}
