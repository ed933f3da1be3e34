/* Latencies counted, in constant memory. */
#ifndef TRUNKLINE_BENCH_HISTOGRAM_H
#define TRUNKLINE_BENCH_HISTOGRAM_H

#include <stdint.h>

/* Log-linear: 128 steps per power of two, so a value is at most 0.8 % above what was measured. */
#define STEP_BITS 7
#define STEPS (1u << STEP_BITS)
struct histogram {
    uint64_t counts[64 * STEPS], total, sum, max;
};

static inline void record(struct histogram *h, uint64_t value) {
    unsigned shift = 0;
    while (value >> shift >= 2 * STEPS) shift++;
    h->counts[shift * STEPS + (value >> shift)]++;
    h->total++;
    h->sum += value;
    if (value > h->max) h->max = value;
}

static inline uint64_t percentile(const struct histogram *h, double fraction) {
    uint64_t wanted = (uint64_t)((double)h->total * fraction), seen = 0;
    for (unsigned i = 0; i < 64 * STEPS; i++) {
        seen += h->counts[i];
        if (seen > wanted || (seen && seen == h->total)) {
            unsigned shift = i < 2 * STEPS ? 0 : i / STEPS - 1;
            uint64_t value = (((uint64_t)i - shift * STEPS + 1) << shift) - 1;
            return value < h->max ? value : h->max;
        }
    }
    return 0;
}

#endif
