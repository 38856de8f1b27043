// (n, displacement, row, column) of the output a thread.
extern "C" __global__ void correlation(
    const T0* x, const T1* other, T2* y, int channels, int height, int width, int across,
    int out_h, int out_w, int first, int stride, int step, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int column = i % out_w * stride + first, row = i / out_w % out_h * stride + first;
    int shift = i / out_w / out_h % (across * across), n = i / out_w / out_h / (across * across);
    int to_row = row + (shift / across - across / 2) * step;
    int to_column = column + (shift % across - across / 2) * step;
    bool inside = row >= 0 && row < height && column >= 0 && column < width && to_row >= 0
        && to_row < height && to_column >= 0 && to_column < width;
    float sum = 0.0f;
    if (inside) {
        size_t places = (size_t)height * width, start = (size_t)n * channels * places;
        const T0* a = x + start + row * width + column;
        const T1* b = other + start + to_row * width + to_column;
        for (int c = 0; c < channels; ++c) sum += (float)a[c * places] * (float)b[c * places];
    }
    y[i] = sum / channels;
}
