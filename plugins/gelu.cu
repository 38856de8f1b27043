// GELU of eight elements a thread, behind the bias of what makes them, if there is one.

struct Pack {
    uint4 words;
    T0& operator[](int i) { return ((T0*)&words)[i]; }
};

#ifdef __CUDA_ARCH__
inline float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

inline float inverse(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

// x * (1 + erf(x / sqrt(2))) / 2, where erf(z) is 1 - 2 * p(t) * exp(-z * z) with t of z: Abramowitz
// and Stegun, 7.1.26, within 1.5e-7. The smaller side is no difference, and so keeps its last digits.
inline float gelu_of(float x) {
    const float t = inverse(1.0f + 0.231641888f * fabsf(x));
    float p = 0.5307027145f * t - 0.7265760135f;
    p = p * t + 0.7107068705f;
    p = p * t - 0.142248368f;
    p = p * t + 0.127414796f;
    const float small = p * t * power_of_2(x * x * -0.72134752f);
    return x * (x > 0.0f ? 1.0f - small : small);
}

extern "C" __global__ void gelu(const T0* __restrict__ x, const T0* __restrict__ bias,
                                T0* __restrict__ y, int width, int packs) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= packs) return;
    Pack values = {((const uint4*)x)[at]}, biases = {};
    if (bias) biases.words = ((const uint4*)bias)[at % width];
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = T0(gelu_of(float(values[i]) + float(biases[i])));
    ((uint4*)y)[at] = values.words;
}
