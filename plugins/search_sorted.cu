// A value of (lines, count of each) a thread; one sequence for all lines where shared.
extern "C" __global__ void search_sorted(
    const T0* sequences, const T1* values, T2* places, int length, int each, bool shared,
    bool right, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T0* sequence = sequences + (shared ? 0 : (size_t)(i / each) * length);
    int low = 0, high = length;
    while (low < high) {
        int middle = low + (high - low) / 2;
        // NaN is not below anything and belongs at the end.
        bool behind = right ? sequence[middle] > values[i] : sequence[middle] >= values[i];
        if (behind) high = middle;
        else low = middle + 1;
    }
    places[i] = low;
}
