#ifdef T3
typedef T2 Mask;
typedef T3 Column;
#else
typedef T0 Mask;
typedef T2 Column;
#endif

// Of one output place and tap, a chunk of the channels: (N, chunk, tap, place) a thread.
// offset is (N, offset_groups, taps, 2, places), mask (N, offset_groups, taps, places),
// columns (N, channels, taps, places).
extern "C" __global__ void columns(
    const T0* x, const T1* offset, const Mask* mask, Column* y,
    int channels, int height, int width, int offset_groups, int chunk, int window_h, int window_w,
    int out_h, int out_w, int stride_h, int stride_w, int pad_h, int pad_w,
    int dilation_h, int dilation_w, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int taps = window_h * window_w, places = out_h * out_w;
    int group_size = channels / offset_groups, chunks = (group_size + chunk - 1) / chunk;
    int place = i % places, tap = i / places % taps, part = i / places / taps % chunks;
    int group = i / places / taps / chunks % offset_groups;
    int n = i / places / taps / chunks / offset_groups;

    size_t at = ((size_t)n * offset_groups + group) * taps + tap;
    float row = place / out_w * stride_h - pad_h + tap / window_w * dilation_h
        + (float)offset[at * 2 * places + place];
    float column = place % out_w * stride_w - pad_w + tap % window_w * dilation_w
        + (float)offset[(at * 2 + 1) * places + place];
    float scale = mask ? (float)mask[at * places + place] : 1.0f;

    bool inside = row > -1.0f && column > -1.0f && row < height && column < width;
    int top = inside ? (int)floorf(row) : 0, left = inside ? (int)floorf(column) : 0;
    float down = row - top, across = column - left;
    bool above = top >= 0, below = top + 1 < height, before = left >= 0, after = left + 1 < width;
    int first = group * group_size + part * chunk;
    int last = (part + 1) * chunk < group_size ? first + chunk : (group + 1) * group_size;
    for (int c = first; c < last; ++c) {
        const T0* image = x + ((size_t)n * channels + c) * height * width + top * width + left;
        float sum = 0.0f;
        if (inside) {
            if (above && before) sum += (1 - down) * (1 - across) * (float)image[0];
            if (above && after) sum += (1 - down) * across * (float)image[1];
            if (below && before) sum += down * (1 - across) * (float)image[width];
            if (below && after) sum += down * across * (float)image[width + 1];
        }
        y[(((size_t)n * channels + c) * taps + tap) * places + place] = sum * scale;
    }
}
