// x is (outer, size, inner); a line runs along size, in pieces of `length`.
template <class T> inline bool replaces(T later, T earlier, bool largest) {
    if (later != later) return true;  // NaN stays, as nothing compares with it
    return largest ? later >= earlier : later <= earlier;
}

inline size_t line_of(int line, int size, int inner) {
    return (size_t)(line / inner) * size * inner + line % inner;
}

// The place of each piece's extreme: best is (lines, pieces).
extern "C" __global__ void of_pieces(
    const T0* x, int* best, int size, int inner, int length, int pieces, bool largest, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T0* line = x + line_of(i / pieces, size, inner);
    int at = i % pieces * length, end = at + length < size ? at + length : size, found = at;
    for (++at; at < end; ++at)
        if (replaces(line[(size_t)at * inner], line[(size_t)found * inner], largest)) found = at;
    best[i] = found;
}

// The place of the extreme of each piece and those before it.
extern "C" __global__ void of_lines(
    const T0* x, int* best, int size, int inner, int pieces, bool largest, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T0* line = x + line_of(i, size, inner);
    int* own = best + (size_t)i * pieces;
    for (int p = 1; p < pieces; ++p)
        if (!replaces(line[(size_t)own[p] * inner], line[(size_t)own[p - 1] * inner], largest))
            own[p] = own[p - 1];
}

// Every element, from what stood before its piece.
extern "C" __global__ void of_elements(
    const T0* x, const int* best, T1* values, T2* places, int size, int inner, int length,
    int pieces, bool largest, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int piece = i % pieces, at = piece * length, end = at + length < size ? at + length : size;
    size_t start = line_of(i / pieces, size, inner);
    int found = piece ? best[i - 1] : at;
    for (; at < end; ++at) {
        size_t here = start + (size_t)at * inner;
        if (replaces(x[here], x[start + (size_t)found * inner], largest)) found = at;
        values[here] = x[start + (size_t)found * inner];
        places[here] = found;
    }
}
