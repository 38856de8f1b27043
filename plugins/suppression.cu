// The score of a goes before that of b; NaN before all else.
inline bool before(T1 a, T1 b) {
    return a != a ? b == b : a > b;
}

inline bool overlaps(const T0* boxes, int i, int j, float threshold) {
    const T0 *a = boxes + (size_t)i * 4, *b = boxes + (size_t)j * 4;
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
    int rank = 0;
    for (int j = 0; j < count; ++j)
        rank += before(scores[j], scores[i]) || (j < i && !before(scores[i], scores[j]));
    order[rank] = i;
    kept[i] = 1;
}

// Which later ones of its own 64 each box overlaps, a bit each.
extern "C" __global__ void compare(
    const T0* boxes, const T2* order, unsigned long long* masks, float threshold, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int start = i / 64 * 64, end = start + 64 < count ? start + 64 : count;
    unsigned long long mask = 0;
    for (int j = i + 1; j < end; ++j)
        if (overlaps(boxes, order[i], order[j], threshold)) mask |= 1ull << (j - start);
    masks[i] = mask;
}

// Of 64 boxes, those that none of the same 64 that stays overlaps.
extern "C" __global__ void settle(
    const unsigned long long* masks, T3* kept, int start, int count) {
    if (blockIdx.x * blockDim.x + threadIdx.x) return;
    unsigned long long gone = 0;
    for (int j = 0; j < count; ++j) {
        if (gone >> j & 1) kept[start + j] = 0;
        if (kept[start + j]) gone |= masks[start + j];
    }
}

// Of the boxes behind them, those that none of these 64 overlaps.
extern "C" __global__ void spread(
    const T0* boxes, const T2* order, T3* kept, float threshold, int start, int count) {
    int i = start + 64 + blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= start + 64 + count || !kept[i]) return;
    for (int j = start; j < start + 64; ++j)
        if (kept[j] && overlaps(boxes, order[j], order[i], threshold)) {
            kept[i] = 0;
            return;
        }
}
