/* The merge's inner loops for CPUs. Built by merge/native.py with contraction off: every operation rounds once, in
 * the order of merge/kernel.py's `merged`, so that the bits are mergekit's. Masks are bit planes, laid out as
 * merge/planes.py says: bit i of byte j of a block belongs to the block's parameter i * WIDTH + j. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h> /* gcc does not vectorise conversions of half precision */
#elif !defined(__FLT16_MAX__)
#error "no half precision"
#endif

enum { WIDTH = 1024, ROWS = 8, BLOCK = WIDTH * ROWS };
enum { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };

/* How many parameters of a row there are: WIDTH but at the end of a tensor. */
static int64_t row_length(int64_t n, int64_t start) { return n - start < WIDTH ? n - start : WIDTH; }

static float from_bfloat16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* To nearest, ties to even, as torch casts. */
static uint16_t to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return value != value ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static void widen_half(const uint16_t *restrict in, int64_t count, float *restrict out) {
#if defined(__F16C__)
  int64_t j = 0;
  for (; j + 8 <= count; j += 8)
    _mm256_storeu_ps(out + j, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + j))));
  for (; j < count; j++) out[j] = _cvtsh_ss(in[j]);
#else
  for (int64_t j = 0; j < count; j++) out[j] = ((const _Float16 *)in)[j];
#endif
}

static void narrow_half(const float *restrict in, int64_t count, uint16_t *restrict out) {
#if defined(__F16C__)
  int64_t j = 0;
  for (; j + 8 <= count; j += 8)
    _mm_storeu_si128((__m128i *)(out + j), _mm256_cvtps_ph(_mm256_loadu_ps(in + j), _MM_FROUND_TO_NEAREST_INT));
  for (; j < count; j++) out[j] = _cvtss_sh(in[j], _MM_FROUND_TO_NEAREST_INT);
#else
  for (int64_t j = 0; j < count; j++) ((_Float16 *)out)[j] = (_Float16)in[j];
#endif
}

static void widen(const void *source, int kind, int64_t start, int64_t count, float *restrict out) {
  const uint16_t *restrict in = (const uint16_t *)source + start;
  if (kind == FLOAT32)
    memcpy(out, (const float *)source + start, count * sizeof(float));
  else if (kind == FLOAT16)
    widen_half(in, count, out);
  else
    for (int64_t j = 0; j < count; j++) out[j] = from_bfloat16(in[j]);
}

static void narrow(const float *restrict in, int kind, int64_t start, int64_t count, void *target) {
  uint16_t *restrict out = (uint16_t *)target + start;
  if (kind == FLOAT32)
    memcpy((float *)target + start, in, count * sizeof(float));
  else if (kind == FLOAT16)
    narrow_half(in, count, out);
  else
    for (int64_t j = 0; j < count; j++) out[j] = to_bfloat16(in[j]);
}

static float same(float value) { return value; }

/* A row of merged parameters in one loop, so that nothing but sources, masks and result touches memory.
 * f: k and w of each term, then lambda. */
#define DEFINE_ROW(NAME, TYPE, FROM, TO)                                                                          \
  static void NAME(const TYPE *restrict base, const TYPE *restrict first, const TYPE *restrict second,            \
                   const uint8_t *restrict mask_1, const uint8_t *restrict mask_2, uint8_t bit, int64_t count,    \
                   const float *restrict f, TYPE *restrict out) {                                                 \
    const float k_1 = f[0], w_1 = f[1], k_2 = f[2], w_2 = f[3], lambda = f[4];                                    \
    for (int64_t j = 0; j < count; j++) {                                                                         \
      const float theta = FROM(base[j]);                                                                          \
      const float a = ((mask_1[j] & bit ? FROM(first[j]) - theta : 0.0f) * k_1) * w_1;                            \
      const float c = ((mask_2[j] & bit ? FROM(second[j]) - theta : 0.0f) * k_2) * w_2;                           \
      const float above = (a > 0 ? a : 0.0f) + (c > 0 ? c : 0.0f);                                                \
      const float below = (a < 0 ? a : 0.0f) + (c < 0 ? c : 0.0f);                                                \
      out[j] = TO(theta + (a + c >= 0 ? above : below) * lambda);                                                 \
    }                                                                                                             \
  }

DEFINE_ROW(row_float32, float, same, same)
DEFINE_ROW(row_bfloat16, uint16_t, from_bfloat16, to_bfloat16)

static const uint8_t NOTHING[WIDTH]; /* the mask of a term that is not there */
static uint8_t everything[WIDTH];    /* the mask of a term that nothing was drawn for */

__attribute__((constructor)) static void fill(void) { memset(everything, 0xff, WIDTH); }

/* Merged parameters `first` to `last` (first: a multiple of BLOCK) of a tensor, at one or several points.
 * kinds: of base, each term, and out; planes: NULL keeps everything. factors: a row for each point: k and w of both
 * terms (zeros for a second that is not there), then lambda. */
void blend(int64_t first, int64_t last, int terms, int points, const void *base, const void *const *tuned,
           const uint8_t *const *planes, const int *kinds, const float *factors, void *const *outs) {
  float theta[WIDTH], values[2][WIDTH], merged[WIDTH];
  const int kind = kinds[0], second = terms - 1, out_kind = kinds[terms + 1];
  const int uniform = kind != FLOAT16 && kinds[1] == kind && kinds[terms] == kind && out_kind == kind;
  for (int64_t start = first; start < last; start += WIDTH) {
    const int64_t count = row_length(last, start), bytes = start / BLOCK * WIDTH;
    const uint8_t bit = (uint8_t)(1 << start / WIDTH % ROWS);
    const uint8_t *masks[2] = {everything, terms == 2 ? everything : NOTHING};
    for (int i = 0; i < terms; i++)
      if (planes[i]) masks[i] = planes[i] + bytes;
    if (!uniform) {
      widen(base, kind, start, count, theta);
      for (int i = 0; i < terms; i++) widen(tuned[i], kinds[i + 1], start, count, values[i]);
    }
    for (int p = 0; p < points; p++) {
      const float *f = factors + 5 * p;
      if (!uniform) {
        row_float32(theta, values[0], values[second], masks[0], masks[1], bit, count, f, merged);
        narrow(merged, out_kind, start, count, outs[p]);
      } else if (kind == FLOAT32) {
        row_float32((const float *)base + start, (const float *)tuned[0] + start, (const float *)tuned[second] + start,
                    masks[0], masks[1], bit, count, f, (float *)outs[p] + start);
      } else {
        row_bfloat16((const uint16_t *)base + start, (const uint16_t *)tuned[0] + start,
                     (const uint16_t *)tuned[second] + start, masks[0], masks[1], bit, count, f,
                     (uint16_t *)outs[p] + start);
      }
    }
  }
}

/* |tuned - base| of parameters `first` to `last`. */
void magnitudes(int64_t first, int64_t last, const float *restrict base, const float *restrict tuned,
                float *restrict out) {
  for (int64_t j = first; j < last; j++) out[j] = fabsf(tuned[j] - base[j]);
}

/* Zero what the plane drops, in place; first: a multiple of BLOCK. */
void keep(int64_t first, int64_t last, const uint8_t *plane, float *values) {
  for (int64_t start = first; start < last; start += WIDTH) {
    const int64_t count = row_length(last, start);
    const uint8_t bit = (uint8_t)(1 << start / WIDTH % ROWS), *restrict bytes = plane + start / BLOCK * WIDTH;
    float *restrict row = values + start;
    for (int64_t j = 0; j < count; j++) row[j] = bytes[j] & bit ? row[j] : 0.0f;
  }
}

/* Mersenne twister MT19937 (Matsumoto and Nishimura 1998), the generator behind torch's CPU draws. */
enum { N = 624, M = 397 };

static uint32_t twist(uint32_t high, uint32_t low, uint32_t far) {
  const uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);
  return far ^ (mixed >> 1) ^ ((low & 1) ? 0x9908b0dfu : 0);
}

static void regenerate(uint32_t *state) {
  for (int i = 0; i < N - M; i++) state[i] = twist(state[i], state[i + 1], state[i + M]);
  for (int i = N - M; i < N - 1; i++) state[i] = twist(state[i], state[i + 1], state[i + M - N]);
  state[N - 1] = twist(state[N - 1], state[0], state[M - 1]);
}

static void temper(const uint32_t *restrict state, int count, uint32_t *restrict out) {
  for (int i = 0; i < count; i++) {
    uint32_t y = state[i];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    out[i] = y ^ (y >> 18);
  }
}

/* The next `count` numbers. next: how many of the state's N numbers are used up; both are moved on. */
static void numbers(uint32_t *state, int32_t *next, int64_t count, uint32_t *out) {
  while (count > 0) {
    if (*next == N) {
      regenerate(state);
      *next = 0;
    }
    const int part = (int)(count < N - *next ? count : N - *next);
    temper(state + *next, part, out);
    *next += part;
    out += part;
    count -= part;
  }
}

/* A plane of n draws: kept where the low 24 bits of a number, torch's uniform float times 2^24, are below
 * `threshold`. plane: whole blocks, all zero. */
void draw(uint32_t *state, int32_t *next, int64_t n, uint32_t threshold, uint8_t *plane) {
  uint32_t drawn[WIDTH];
  for (int64_t start = 0; start < n; start += WIDTH) {
    const int64_t count = row_length(n, start);
    const uint8_t bit = (uint8_t)(1 << start / WIDTH % ROWS);
    uint8_t *restrict bytes = plane + start / BLOCK * WIDTH;
    numbers(state, next, count, drawn);
    for (int64_t j = 0; j < count; j++) bytes[j] |= (drawn[j] & 0xffffffu) < threshold ? bit : 0;
  }
}
