// GELU, by gelu_of.cu, of eight elements a thread, behind the bias of what makes them, if there is one.

struct Pack {
    uint4 words;
    T0& operator[](int i) { return ((T0*)&words)[i]; }
};

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
