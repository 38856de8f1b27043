enum Source { PAIRS, REALS, HALF };

struct Pair {
    float re, im;
};

inline Pair read(const float* x, int source, size_t line, int n, int at) {
    if (source == REALS) return {x[line * n + at], 0.0f};
    int given = source == HALF ? n / 2 + 1 : n;
    bool mirrored = at >= given;
    size_t place = (line * given + (mirrored ? n - at : at)) * 2;
    return {x[place], mirrored ? -x[place + 1] : x[place + 1]};
}

// A number of the output a thread. One pass of a self-sorting transform (Stockham's): groups of
// `done` have been transformed, and `radix` of them become one.
extern "C" __global__ void pass(
    const float* x, float* y, int x_begin, int y_begin, int n, int radix, int done, int source, bool inverse, bool real,
    int kept, float scale, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    x += (size_t)x_begin * 2;
    y += (size_t)y_begin * 2;
    int at = i % kept, span = done * radix, within = at % span;
    int first = at / span * done + within % done;
    size_t line = i / kept;
    Pair sum = {0.0f, 0.0f};
    for (int q = 0; q < radix; ++q) {
        int turn = (int)((long long)q * within % span);
        if (turn > span / 2) turn -= span;
        float sine, cosine;
        sincospif(2.0f * turn / span, &sine, &cosine);
        if (!inverse) sine = -sine;
        Pair given = read(x, source, line, n, first + q * (n / radix));
        sum.re += given.re * cosine - given.im * sine;
        sum.im += given.re * sine + given.im * cosine;
    }
    if (real) {
        y[i] = sum.re * scale;
    } else {
        y[(size_t)i * 2] = sum.re * scale;
        y[(size_t)i * 2 + 1] = sum.im * scale;
    }
}
