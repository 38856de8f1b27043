enum Reduction { SUM, PROD, MEAN, AMAX, AMIN };

inline SUMS joined(SUMS a, SUMS b, int reduction) {
    if (reduction == PROD) return a * b;
    if (reduction == AMAX) return a > b || a != a ? a : b;  // NaN stays
    if (reduction == AMIN) return a < b || a != a ? a : b;
    return a + b;
}

inline float quotient(float a, int n) { return a / n; }

// Of integers it is rounded down, as in PyTorch.
inline long long quotient(long long a, int n) { return a / n - (a % n < 0); }

// x is (outer, size, inner), index and updates (outer, updates_size, inner). A thread owns `own`
// places along a line and reads all of the line's updates, in order: no two write to one place.
extern "C" __global__ void scatter_reduce(
    const T0* x, const T1* index, const T2* updates, T3* y, char* space, int elements,
    int size, int inner, int updates_size, int own, int owners, int reduction, bool include_self,
    int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    SUMS* sums = (SUMS*)space;
    int* counts = (int*)(space + (size_t)elements * sizeof(SUMS));
    int line = i / owners, outer = line / inner, low = i % owners * own;
    int high = low + own < size ? low + own : size;
    size_t start = (size_t)outer * size * inner + line % inner;
    size_t from = (size_t)outer * updates_size * inner + line % inner;
    for (int a = low; a < high; ++a) {
        size_t at = start + (size_t)a * inner;
        sums[at] = x[at];
        counts[at] = include_self;
    }
    for (int k = 0; k < updates_size; ++k) {
        size_t read = from + (size_t)k * inner;
        long long a = index[read];
        if (a < low || a >= high) continue;
        size_t at = start + (size_t)a * inner;
        SUMS update = updates[read];
        sums[at] = counts[at]++ ? joined(sums[at], update, reduction) : update;
    }
    for (int a = low; a < high; ++a) {
        size_t at = start + (size_t)a * inner;
        bool divides = reduction == MEAN && counts[at] > 1;
        y[at] = divides ? quotient(sums[at], counts[at]) : sums[at];
    }
}
