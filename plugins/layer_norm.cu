// A row less its mean, over its deviation. A team of threads holds the row in registers, so that it
// is read once; where it is the sum of two rows, these are added up first.

constexpr int TEAM = WIDTH <= 1024 ? 32 : WIDTH <= 4096 ? 128 : 256;
constexpr int BLOCK = TEAM < 128 ? 128 : TEAM;
constexpr int PACKS = (WIDTH / 8 + TEAM - 1) / TEAM;  // of eight elements, that a thread has

struct Pack {
    uint4 words;
    T0& operator[](int i) { return ((T0*)&words)[i]; }
};

inline Pack pack(const T0* row, int at) { return {((const uint4*)row)[at]}; }

inline void add(float (&to)[8], Pack more) {
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] += more[i];
}

inline float sum_of_team(float x) {
#pragma unroll
    for (int distance = 16; distance; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
    if (TEAM == 32) return x;
    __shared__ float of_warps[BLOCK / 32];
    __syncthreads();  // what was there has been read
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < BLOCK / 32; ++i) sum += of_warps[i];
    return sum;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    layer_norm(const T0* __restrict__ x, const T0* __restrict__ scale, const T0* __restrict__ bias,
               const T0* __restrict__ other, const T0* __restrict__ offset, T0* __restrict__ y,
               T0* __restrict__ sum, int rows, float epsilon) {
    const int row = (blockIdx.x * BLOCK + threadIdx.x) / TEAM, member = threadIdx.x % TEAM;
    if (row >= rows) return;
    const size_t first = (size_t)row * WIDTH;
    float values[PACKS][8] = {};
    float total = 0.0f, squares = 0.0f;
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
        const int at = p * TEAM + member;
        if (at >= WIDTH / 8) continue;
        add(values[p], pack(x + first, at));
        if (OFFSET) add(values[p], pack(offset, at));
        if (SUMMED) add(values[p], pack(other + first, at));
#pragma unroll
        for (int i = 0; i < 8; ++i) total += values[p][i];
    }
    const float mean = sum_of_team(total) * (1.0f / WIDTH);
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
        const int at = p * TEAM + member;
        if (at >= WIDTH / 8) continue;
        Pack added;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            added[i] = T0(values[p][i]);
            values[p][i] -= mean;
            squares += values[p][i] * values[p][i];
        }
        if (KEEPS_SUM) ((uint4*)(sum + first))[at] = added.words;
    }
    const float factor = rsqrtf(sum_of_team(squares) * (1.0f / WIDTH) + epsilon);
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
        const int at = p * TEAM + member;
        if (at >= WIDTH / 8) continue;
        Pack scales = pack(scale, at), biases = pack(bias, at), made;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            made[i] = T0(values[p][i] * factor * float(scales[i]) + float(biases[i]));
        ((uint4*)(y + first))[at] = made.words;
    }
}
