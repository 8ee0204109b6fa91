/* The numbers of reference.py, one pass over memory for each function.

   A group of 16 values is one vector, written with the vector types of GCC and Clang, which know
   every processor. WEIGHT is `bf16` or `float`, OFFSET the integer of offsets and drops. Functions
   work on the groups from `first` to before `last`, so that threads can share a tensor.
   Compile without contraction: x * y + z must round twice, as torch's does. */

#include <stdint.h>
#include <string.h>

#define GROUP 16
#define SIXTH ((float)(1.0 / 6.0))
#define VECTOR(type) type __attribute__((vector_size(GROUP * sizeof(type))))

typedef uint16_t bf16;
typedef VECTOR(float) Floats;
typedef VECTOR(int32_t) Ints;
typedef VECTOR(uint32_t) Bits;
typedef VECTOR(uint16_t) Halves;
typedef VECTOR(OFFSET) Offsets;
typedef struct { Floats inverse, step; Ints free; } Scales;

#define SAME(x) ((Floats){0} + (x))

/* Where a mask of 0 and -1 is set one value, else the other. */
static inline Floats choose(Ints mask, Floats yes, Floats no) {
  return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no));
}
static inline Floats load_bf16(const bf16 *from) {
  Halves halves;
  memcpy(&halves, from, sizeof halves);
  return (Floats)(__builtin_convertvector(halves, Bits) << 16);
}
static inline void store_bf16(bf16 *to, Floats x) {
  Bits bits = (Bits)x;
  Halves halves = __builtin_convertvector((bits + 0x7FFF + (bits >> 16 & 1)) >> 16, Halves);
  memcpy(to, &halves, sizeof halves);
}
static inline Floats load_float(const float *from) {
  Floats x;
  memcpy(&x, from, sizeof x);
  return x;
}
static inline void store_float(float *to, Floats x) { memcpy(to, &x, sizeof x); }

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define LOAD JOIN(load, WEIGHT)
#define STORE JOIN(store, WEIGHT)

static inline Offsets load_offsets(const OFFSET *from) {
  Offsets offsets;
  memcpy(&offsets, from, sizeof offsets);
  return offsets;
}
static inline Floats least_of(Floats a, Floats b) { return choose(a < b, a, b); }
static inline Floats largest_of(Floats a, Floats b) { return choose(a > b, a, b); }
static inline Floats sum_of(Floats a, Floats b) { return a + b; }
static inline Floats size_of(Floats x) { return (Floats)((Bits)x & 0x7FFFFFFF); }
static inline Floats clamp6(Floats x) {
  return largest_of(least_of(x, SAME(6.0f)), SAME(-6.0f));
}

/* Reduce 16 groups at once, the n-th to lane n: each of four rounds joins pairs of vectors, one
   half of each pair's lanes with the other. `groups` is overwritten. */
#define ROUND(distance, low, high)                                              \
  for (int i = 0; i < distance; i++)                                            \
  groups[i] = combine(__builtin_shufflevector(groups[i], groups[i + distance], low),  \
                      __builtin_shufflevector(groups[i], groups[i + distance], high))
#define LANES(...) __VA_ARGS__
#define REDUCTION(name, combine_)                                               \
  static inline Floats name(Floats groups[GROUP]) {                             \
    Floats (*combine)(Floats, Floats) = combine_;                               \
    ROUND(8, LANES(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),     \
          LANES(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)); \
    ROUND(4, LANES(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),   \
          LANES(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31));   \
    ROUND(2, LANES(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),   \
          LANES(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31));   \
    ROUND(1, LANES(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),  \
          LANES(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));    \
    return groups[0];                                                           \
  }
REDUCTION(sums, sum_of)
REDUCTION(peaks_of, largest_of)

/* Nearest multiple that `least` and `magic` set, ties to even; eager.py explains. */
static inline Floats snap(Floats x, float least, float magic) {
  Floats power = largest_of((Floats)((Bits)x & 0x7F800000), SAME(least)) * magic;
  return (x + power) - power;
}
static inline Floats e2m1(Floats x) { return snap(x, 1.0f, 0x1.8p22f); }

/* Scales of 16 groups whose largest values, times their factors, are `peaks`. */
static inline Scales scales_of(Floats peaks, float divisor, float reciprocal) {
  Floats none = SAME(0.0f), wanted = divisor * (peaks * SIXTH);
  Floats stored = snap(least_of(wanted, SAME(448.0f)), 0x1p-6f, 0x1.8p20f);
  Floats step = stored * reciprocal;
  Floats inverse = choose(step == 0.0f, none, 1.0f / step);
  Scales scales = {inverse, choose(inverse == 0.0f, none, 1.0f / inverse),
                   (wanted <= 448.0f) & (stored > 0.0f)};
  return scales;
}
static inline float reciprocal_of(float divisor) {
  return divisor == 0.0f ? 0.0f : 1.0f / divisor;
}
static inline Floats factors_of(Offsets drops, float quantum) {
  return largest_of(1.0f - __builtin_convertvector(drops, Floats) * quantum, SAME(0.0f));
}

/* Work on 16 groups at once, and then on the `count` that are left. There, where 16 are read, the
   last is read again; only `count` are written. */
#define STRIPS(work, ...)                                                       \
  long n = first;                                                               \
  for (; n + GROUP <= last; n += GROUP) work(n, GROUP, __VA_ARGS__);            \
  if (n < last) work(n, (int)(last - n), __VA_ARGS__)
#define NEAREST(n, i, count) ((n) + ((i) < (count) ? (i) : (count) - 1))

static inline Offsets some_offsets(const OFFSET *from, int count) {
  Offsets offsets = {0};
  memcpy(&offsets, from, count * sizeof *from);
  return offsets;
}
static inline Floats some_floats(const float *from, int count) {
  Floats x = {0};
  memcpy(&x, from, count * sizeof *from);
  return x;
}

static inline void quantize_weights(long n, int count, const WEIGHT *weight,
                                    const OFFSET *offsets, const OFFSET *drops,
                                    const float *peaks, float divisor, float reciprocal,
                                    float offset_quantum, float factor_quantum, WEIGHT *out) {
  Floats factors = factors_of(some_offsets(drops + n, count), factor_quantum);
  Scales s = scales_of(some_floats(peaks + n, count) * factors, divisor, reciprocal);
  for (int i = 0; i < count; i++) {
    long at = (n + i) * GROUP;
    Floats offset = __builtin_convertvector(load_offsets(offsets + at), Floats);
    Floats x = LOAD(weight + at) * s.inverse[i] + offset * offset_quantum;
    STORE(out + at, e2m1(clamp6(x)) * s.step[i]);
  }
}
void quantize_weight(const WEIGHT *weight, const OFFSET *offsets, const OFFSET *drops,
                     const float *peaks, float divisor, float offset_quantum,
                     float factor_quantum, WEIGHT *out, long first, long last) {
  float reciprocal = reciprocal_of(divisor);
  STRIPS(quantize_weights, weight, offsets, drops, peaks, divisor, reciprocal, offset_quantum,
         factor_quantum, out);
}

static inline void steps(long n, int count, const WEIGHT *weight, OFFSET *offsets, OFFSET *drops,
                         const float *peaks, float divisor, float reciprocal,
                         float offset_quantum, float factor_quantum, const WEIGHT *gradient,
                         int pace, int most) {
  Offsets dropped = some_offsets(drops + n, count);
  Floats factors = factors_of(dropped, factor_quantum), slopes[GROUP];
  Scales s = scales_of(some_floats(peaks + n, count) * factors, divisor, reciprocal);
  for (int i = 0; i < count; i++) {
    long at = (n + i) * GROUP;
    Offsets offset = load_offsets(offsets + at);
    Floats scaled = LOAD(weight + at) * s.inverse[i], g = LOAD(gradient + at);
    Floats x = scaled + __builtin_convertvector(offset, Floats) * offset_quantum;
    Floats clamped = clamp6(x);
    Ints inside = (clamped == x) & (x != 0.0f);
    Ints uphill = ((g < 0.0f) - (g > 0.0f)) & inside;
    offset -= __builtin_convertvector(uphill * pace, Offsets);
    memcpy(offsets + at, &offset, sizeof offset);
    slopes[i] = (e2m1(clamped) - choose(inside, scaled, SAME(0.0f))) * g;
  }
  Floats slope = sums(slopes);
  Ints drop = __builtin_convertvector(dropped, Ints);
  drop += ((slope < 0.0f) - (slope > 0.0f)) * pace & s.free;
  drop &= ~(drop < 0);
  drop = (most & (drop > most)) | (drop & ~(drop > most));
  dropped = __builtin_convertvector(drop, Offsets);
  memcpy(drops + n, &dropped, count * sizeof *drops);
}
void step(const WEIGHT *weight, OFFSET *offsets, OFFSET *drops, const float *peaks,
          float divisor, float offset_quantum, float factor_quantum, const WEIGHT *gradient,
          int pace, int most, long first, long last) {
  float reciprocal = reciprocal_of(divisor);
  STRIPS(steps, weight, offsets, drops, peaks, divisor, reciprocal, offset_quantum,
         factor_quantum, gradient, pace, most);
}

/* Scales of the activations' own peaks, which are given too. */
static inline Scales own_scales(long n, int count, const WEIGHT *from, float divisor,
                                float reciprocal, Floats *peaks) {
  Floats sizes[GROUP];
  for (int i = 0; i < GROUP; i++)
    sizes[i] = size_of(LOAD(from + NEAREST(n, i, count) * GROUP));
  *peaks = peaks_of(sizes);
  return scales_of(*peaks, divisor, reciprocal);
}

static inline void quantize_inputs(long n, int count, const WEIGHT *from, float divisor,
                                   float reciprocal, WEIGHT *out) {
  Floats peaks;
  Scales s = own_scales(n, count, from, divisor, reciprocal, &peaks);
  for (int i = 0; i < count; i++) {
    long at = (n + i) * GROUP;
    STORE(out + at, e2m1(clamp6(LOAD(from + at) * s.inverse[i])) * s.step[i]);
  }
}
void quantize_input(const WEIGHT *from, float divisor, WEIGHT *out, long first, long last) {
  float reciprocal = reciprocal_of(divisor);
  STRIPS(quantize_inputs, from, divisor, reciprocal, out);
}

static inline void input_gradients(long n, int count, const WEIGHT *from, float divisor,
                                   float reciprocal, const WEIGHT *gradient, WEIGHT *out) {
  Floats peaks, none = SAME(0.0f), slopes[GROUP], straight[GROUP];
  Scales s = own_scales(n, count, from, divisor, reciprocal, &peaks);
  for (int i = 0; i < count; i++) {
    long at = (n + i) * GROUP;
    Floats scaled = LOAD(from + at) * s.inverse[i], clamped = clamp6(scaled);
    Floats g = LOAD(gradient + at);
    Ints inside = (clamped == scaled) & (scaled != 0.0f);
    slopes[i] = (e2m1(clamped) - choose(inside, scaled, none)) * g;
    straight[i] = choose(inside, g, none);
  }
  Floats slope = choose(s.free, sums(slopes) * SIXTH, none);
  for (int i = 0; i < count; i++) {
    long at = (n + i) * GROUP;
    Floats x = LOAD(from + at), to = SAME(slope[i]);
    Floats to_peak = choose(size_of(x) == peaks[i], choose(x > 0.0f, to, -to), none);
    STORE(out + at, straight[i] + to_peak);
  }
}
void input_gradient(const WEIGHT *from, float divisor, const WEIGHT *gradient, WEIGHT *out,
                    long first, long last) {
  float reciprocal = reciprocal_of(divisor);
  STRIPS(input_gradients, from, divisor, reciprocal, gradient, out);
}
