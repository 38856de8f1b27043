enum Padding { ZEROS, BORDER, REFLECTION };

// To and fro between low / 2 and high / 2.
inline float mirrored(float at, float low, float high) {
    if (low == high) return 0.0f;
    float start = low / 2, span = (high - low) / 2;
    float past = fabsf(at - start), extra = fmodf(past, span);
    return (long long)floorf(past / span) % 2 ? span - extra + start : extra + start;
}

inline float place(float at, int size, int padding, bool corners) {
    at = corners ? (at + 1) / 2 * (size - 1) : ((at + 1) * size - 1) / 2;
    if (padding == REFLECTION)
        at = corners ? mirrored(at, 0, 2 * (size - 1)) : mirrored(at, -1, 2 * size - 1);
    if (padding != ZEROS) at = fminf(fmaxf(at, 0.0f), size - 1.0f);
    return fabsf(at) < 1e9f ? at : -100.0f;  // what is far off or NaN is outside
}

// (n, chunk of channels, place) a thread; grid is (N, places, 3), of x, y and z.
extern "C" __global__ void grid_sample(
    const T0* x, const T1* grid, T2* y, int channels, int depth, int height, int width,
    int places, int chunk, bool nearest, int padding, bool corners, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int chunks = (channels + chunk - 1) / chunk;
    int at = i % places, part = i / places % chunks, n = i / places / chunks;
    const int sizes[3] = {depth, height, width};
    int low[3];
    float weights[3][2];
    for (int axis = 0; axis < 3; ++axis) {
        float given = grid[((size_t)n * places + at) * 3 + 2 - axis];
        float to = place(given, sizes[axis], padding, corners);
        low[axis] = (int)(nearest ? rintf(to) : floorf(to));
        weights[axis][1] = nearest ? 0.0f : to - low[axis];
        weights[axis][0] = 1 - weights[axis][1];
    }
    int end = (part + 1) * chunk < channels ? (part + 1) * chunk : channels;
    for (int c = part * chunk; c < end; ++c) {
        const T0* volume = x + ((size_t)n * channels + c) * depth * height * width;
        float sum = 0.0f;
        for (int corner = 0; corner < 8; ++corner) {
            int a = corner >> 2, b = corner >> 1 & 1, d = corner & 1;
            int z = low[0] + a, row = low[1] + b, column = low[2] + d;
            float weight = weights[0][a] * weights[1][b] * weights[2][d];
            bool inside = z >= 0 && z < depth && row >= 0 && row < height && column >= 0
                && column < width;
            if (inside && weight != 0.0f)
                sum += weight * (float)volume[((size_t)z * height + row) * width + column];
        }
        y[((size_t)n * channels + c) * places + at] = sum;
    }
}
