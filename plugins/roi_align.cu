// (k, channel, row, column) of the output a thread; see torchvision's roi_align.
extern "C" __global__ void roi_align(
    const T0* x, const T1* rois, T2* y, int images, int channels, int height, int width,
    int parts_h, int parts_w, float scale, int ratio, bool aligned, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int part_w = i % parts_w, part_h = i / parts_w % parts_h;
    int c = i / parts_w / parts_h % channels, k = i / parts_w / parts_h / channels;
    const T1* roi = rois + (size_t)k * 5;
    int n = (int)(float)roi[0];
    float shift = aligned ? 0.5f : 0.0f;
    float left = (float)roi[1] * scale - shift, top = (float)roi[2] * scale - shift;
    float wide = (float)roi[3] * scale - shift - left, tall = (float)roi[4] * scale - shift - top;
    if (!aligned) {
        wide = fmaxf(wide, 1.0f);
        tall = fmaxf(tall, 1.0f);
    }
    float step_h = tall / parts_h, step_w = wide / parts_w;
    int points_h = ratio > 0 ? ratio : (int)ceilf(step_h);
    int points_w = ratio > 0 ? ratio : (int)ceilf(step_w);
    float sum = 0.0f;
    if (n >= 0 && n < images) {
        const T0* image = x + ((size_t)n * channels + c) * height * width;
        for (int a = 0; a < points_h; ++a) {
            float row = top + part_h * step_h + (a + 0.5f) * step_h / points_h;
            if (!(row >= -1.0f && row <= height)) continue;
            row = fminf(fmaxf(row, 0.0f), height - 1.0f);
            int up = (int)row, down = up + 1 < height ? up + 1 : up;
            for (int b = 0; b < points_w; ++b) {
                float column = left + part_w * step_w + (b + 0.5f) * step_w / points_w;
                if (!(column >= -1.0f && column <= width)) continue;
                column = fminf(fmaxf(column, 0.0f), width - 1.0f);
                int before = (int)column, after = before + 1 < width ? before + 1 : before;
                float lower = row - up, later = column - before;
                sum += (1 - lower) * (1 - later) * (float)image[up * width + before]
                    + (1 - lower) * later * (float)image[up * width + after]
                    + lower * (1 - later) * (float)image[down * width + before]
                    + lower * later * (float)image[down * width + after];
            }
        }
    }
    int points = points_h * points_w;
    y[i] = sum / (points > 1 ? points : 1);
}
