inline float element(const T0* value, int row, int column, int height, int width, int stride) {
    bool inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? (float)value[(size_t)(row * width + column) * stride] : 0.0f;
}

// (n, query, head, channel) a thread.
// value is (N, S, heads, channels), sizes (levels, 2), places (N, queries, heads, levels, points,
// 2), of x and y in 0..1, weights (N, queries, heads, levels, points).
extern "C" __global__ void deformable_attention(
    const T0* value, const T1* sizes, const T2* places, const T3* weights, T4* y,
    int length, int heads, int channels, int queries, int levels, int points, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int channel = i % channels, head = i / channels % heads, query = i / channels / heads;
    int stride = heads * channels, n = query / queries;
    const T0* map = value + (size_t)n * length * stride + head * channels + channel;
    size_t at = ((size_t)query * heads + head) * levels * points;
    float sum = 0.0f;
    for (int level = 0; level < levels; ++level) {
        int height = sizes[level * 2], width = sizes[level * 2 + 1];
        for (int point = 0; point < points; ++point, ++at) {
            float column = (float)places[at * 2] * width - 0.5f;
            float row = (float)places[at * 2 + 1] * height - 0.5f;
            if (!(row > -1.0f && row < height && column > -1.0f && column < width)) continue;
            int top = (int)floorf(row), left = (int)floorf(column);
            float down = row - top, across = column - left;
            sum += (float)weights[at]
                * ((1 - down) * (1 - across) * element(map, top, left, height, width, stride)
                   + (1 - down) * across * element(map, top, left + 1, height, width, stride)
                   + down * (1 - across) * element(map, top + 1, left, height, width, stride)
                   + down * across * element(map, top + 1, left + 1, height, width, stride));
        }
        map += (size_t)height * width * stride;
    }
    y[i] = sum;
}
