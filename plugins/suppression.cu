// The score of a goes before that of b; NaN before all else.
inline bool before(T1 a, T1 b) {
    return a != a ? b == b : a > b;
}

inline bool overlaps(const T0* a, const T0* b, float threshold) {
    float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    float height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    float shared = fmaxf(width, 0.0f) * fmaxf(height, 0.0f);
    float sum = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]);
    return shared / (sum - shared) > threshold;
}

// Each box to its place in the order of scores; equal ones stay in theirs.
extern "C" __global__ void place(const T1* scores, T2* order, T3* kept, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    T1 mine = scores[i];
    int rank = 0;
    for (int j = 0; j < count; ++j) {
        T1 other = scores[j];
        rank += before(other, mine) || (j < i && !before(mine, other));
    }
    order[rank] = i;
    kept[rank] = 1;
}

// Which later ones of a tile each of its boxes overlaps: 64 of them, a bit each, for a thread.
extern "C" __global__ void compare(
    const T0* boxes, const T2* order, const T3* kept, unsigned long long* masks, float threshold,
    int start, int size, int words, int count) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    int i = index / words, word = index % words;
    if (!kept[start + i]) return;
    const T0* mine = boxes + (size_t)order[start + i] * 4;
    int end = word * 64 + 64 < size ? word * 64 + 64 : size;
    unsigned long long mask = 0;
    for (int j = word * 64 > i ? word * 64 : i + 1; j < end; ++j)
        if (overlaps(mine, boxes + (size_t)order[start + j] * 4, threshold))
            mask |= 1ull << (j - word * 64);
    masks[index] = mask;
}

// Of a tile, the boxes that no earlier one that stays overlaps; a block, and a thread a word.
extern "C" __global__ void settle(
    const unsigned long long* masks, T3* kept, int start, int size, int words) {
    __shared__ unsigned long long own[64], gone[64], stay;
    int t = threadIdx.x;
    unsigned long long mine = 0;  // who of this thread's 64 is gone
    for (int j = 0; j < 64; ++j)
        if (t * 64 + j >= size || !kept[start + t * 64 + j]) mine |= 1ull << j;
    for (int word = 0; word < words; ++word) {
        int row = word * 64 + t;
        own[t] = row < size ? masks[(size_t)row * words + word] : 0;
        gone[t] = mine;
        __syncthreads();
        if (t == 0) {
            unsigned long long left = ~gone[word], best = 0;
            while (left) {
                int j = __ffsll((long long)left) - 1;
                best |= 1ull << j;
                left &= ~(1ull << j) & ~own[j];
            }
            stay = best;
        }
        __syncthreads();
        if (row < size) kept[start + row] = stay >> t & 1;
        if (t > word && t < words)
            for (unsigned long long left = stay; left; left &= left - 1) {
                int j = __ffsll((long long)left) - 1;
                mine |= masks[(size_t)(word * 64 + j) * words + t];
            }
        __syncthreads();
    }
}

// Of the boxes behind a tile, those that none of it that stays overlaps.
extern "C" __global__ void spread(
    const T0* boxes, const T2* order, T3* kept, float threshold, int start, int size, int count) {
    int i = start + size + blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= start + size + count || !kept[i]) return;
    const T0* mine = boxes + (size_t)order[i] * 4;
    for (int j = start; j < start + size; ++j)
        if (kept[j] && overlaps(boxes + (size_t)order[j] * 4, mine, threshold)) {
            kept[i] = 0;
            return;
        }
}
