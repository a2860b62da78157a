/* y = x Wᵀ for a matrix W as its file quantizes it: exact weights, float32 arithmetic, nothing kept in between.

   Work goes in units of 64 weights of a row. The codes of a unit become 8 vectors of 8 whole numbers as float32, not in
   their order: x is brought into the order in which they come out (`place`). A code that lies 4k or 8k bits up in a word
   stays there, so that its number is 16^k or 256^k times too large, and x, or the scale, is made that much smaller: a
   power of two loses no bit. Each weight is code · scale + more; `more` is multiplied with the sum of x.

   Two ways: `few` rows of x, with the weights only ever in registers, and `many`, with the weights of some rows and
   columns as float32, each used for all of x (Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix
   Multiplication"). The layouts are those of ggml's blocks; files/quant_types.py says what they are and is the oracle of
   the tests. Vectors are GCC's and Clang's; where the compiler finds no instruction of its own, one is named for x86. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(PORTABLE)
#define X86
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma,f16c")))
#else
#define TARGET
#endif
#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));
typedef uint32_t words __attribute__((vector_size(32)));
typedef uint8_t bytes __attribute__((vector_size(32)));
typedef uint8_t half_bytes __attribute__((vector_size(16)));
typedef int8_t eight_bytes __attribute__((vector_size(8)));

/* The numbers of the types in a GGUF file. */
enum { Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14, IQ4_NL = 20, IQ4_XS = 23, MXFP4 = 39 };
#define KINDS(DO) DO(Q4_0) DO(Q4_1) DO(Q5_0) DO(Q5_1) DO(Q8_0) DO(Q4_K) DO(Q5_K) DO(Q6_K) DO(IQ4_NL) DO(IQ4_XS) DO(MXFP4)

enum {
  UNIT = 64,
  ARRANGED = 80, /* Numbers of x for a unit: 64 in its order, and twice 8 sums for what is added to each weight. */
  DEEP = 512,    /* Columns, and … */
  TALL = 24,     /* … rows whose weights are float32 at a time. */
};

/* -- Vectors ------------------------------------------------------------------------------------------------------- */

#define FLOATS(v) __builtin_convertvector((ints)(v), floats)

INLINE floats load(const float *at) {
  floats v;
  memcpy(&v, at, sizeof v);
  return v;
}

INLINE half_bytes load16(const uint8_t *at) {
  half_bytes v;
  memcpy(&v, at, sizeof v);
  return v;
}

INLINE bytes load32(const uint8_t *at) {
  bytes v;
  memcpy(&v, at, sizeof v);
  return v;
}

INLINE bytes join(half_bytes a, half_bytes b) {
#ifdef X86
  return (bytes)_mm256_set_m128i((__m128i)b, (__m128i)a);
#else
  bytes v;
  memcpy(&v, &a, sizeof a), memcpy((char *)&v + sizeof a, &b, sizeof b);
  return v;
#endif
}

INLINE floats same(float a) { return (floats){a, a, a, a, a, a, a, a}; }
INLINE floats halves(float a, float b) { return (floats){a, a, a, a, b, b, b, b}; }

INLINE float float16(const uint8_t *at) {
  uint16_t bits;
  memcpy(&bits, at, sizeof bits);
#ifdef X86
  return _cvtsh_ss(bits);
#else
  const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7FFF;
  uint32_t word = sign | (rest + (rest >= 0x7C00 ? 0x38000 : 0x1C000)) << 13; /* NaN and infinite stay so. */
  float value;
  if (rest < 0x400) { /* Below the smallest that has a leading one. */
    value = (float)rest * 0x1p-24f;
    memcpy(&word, &value, sizeof word);
    word |= sign;
  }
  memcpy(&value, &word, sizeof value);
  return value;
#endif
}

/* One float16 for the first four lanes, one for the last. */
INLINE floats two_float16(const uint8_t *a, const uint8_t *b) {
#ifdef X86
  int16_t x, y;
  memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
  return (floats)_mm256_cvtph_ps(_mm_blend_epi32(_mm_set1_epi16(x), _mm_set1_epi16(y), 12));
#else
  return halves(float16(a), float16(b));
#endif
}

INLINE ints signed_bytes(const uint8_t *at) {
#ifdef X86
  return (ints)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at));
#else
  eight_bytes v;
  memcpy(&v, at, sizeof v);
  return __builtin_convertvector(v, ints);
#endif
}

INLINE bytes looked_up(half_bytes table, bytes places) {
#ifdef X86
  return (bytes)_mm256_shuffle_epi8((__m256i)join(table, table), (__m256i)places);
#else
  bytes out;
  for (int i = 0; i < 32; i++) out[i] = table[places[i]];
  return out;
#endif
}

INLINE float sum(floats v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

/* -- Blocks -------------------------------------------------------------------------------------------------------- */

typedef struct {
  floats codes[8];
  floats scale[2], more[2]; /* Of both halves of the codes (`second`); the first alone where the kind has no halves. */
} unit;

static inline int block_bytes(int kind) {
  switch (kind) {
    case Q4_0: case IQ4_NL: return 18;
    case Q4_1: return 20;
    case Q5_0: return 22;
    case Q5_1: return 24;
    case Q8_0: return 34;
    case Q4_K: return 144;
    case Q5_K: return 176;
    case Q6_K: return 210;
    case IQ4_XS: return 136;
    default: return 17;
  }
}

static inline int by_nibble(int kind) { return kind == Q4_0 || kind == Q4_1 || kind == Q4_K; }

/* Whether vector k has the second scale. */
static inline int second(int kind, int k) {
  if (kind == Q4_K) return k % 2;
  return kind == Q8_0 || kind == Q5_K || kind == Q6_K ? k / 4 : 0;
}

/* Which weight of a unit is in lane `lane` of vector k. */
static int place(int kind, int k, int lane) {
  const int in_two_blocks = 32 * (lane / 4) + 4 * (lane % 4);
  switch (kind) {
    case Q4_0: case Q4_1: return in_two_blocks + k / 2 + 16 * (k % 2);
    case Q4_K: return 4 * lane + k / 2 + 32 * (k % 2);
    case Q8_0: return 8 * k + lane;
    case Q5_K: case Q6_K: return 4 * lane + k % 4 + 32 * (k / 4);
    default: return in_two_blocks + k % 4 + 16 * (k / 4);
  }
}

/* What the codes of vector k are to be multiplied by. */
static inline float power(int kind, int k) {
  const int bits = kind == Q8_0 ? 0 : by_nibble(kind) ? 4 * k : 8 * (k % 4);
  return bits == (by_nibble(kind) ? 28 : 24) ? 1.f : 1.f / (float)(1 << bits); /* The topmost is shifted down. */
}

INLINE void from_nibbles(unit *u, words q) {
  u->codes[0] = FLOATS(q & 0xF), u->codes[1] = FLOATS(q & 0xF0);
  u->codes[2] = FLOATS(q & 0xF00), u->codes[3] = FLOATS(q & 0xF000);
  u->codes[4] = FLOATS(q & 0xF0000), u->codes[5] = FLOATS(q & 0xF00000);
  u->codes[6] = FLOATS(q & 0xF000000), u->codes[7] = FLOATS(q >> 28);
}

INLINE void from_bytes(unit *u, bytes first, bytes last) {
  const words a = (words)first, b = (words)last;
  u->codes[0] = FLOATS(a & 0xFF), u->codes[1] = FLOATS(a & 0xFF00);
  u->codes[2] = FLOATS(a & 0xFF0000), u->codes[3] = FLOATS(a >> 24);
  u->codes[4] = FLOATS(b & 0xFF), u->codes[5] = FLOATS(b & 0xFF00);
  u->codes[6] = FLOATS(b & 0xFF0000), u->codes[7] = FLOATS(b >> 24);
}

/* The fifth bits of 16 weights, worth 16 each. */
INLINE half_bytes fifth_bits(const uint8_t *at) {
  const uint8_t a = at[0], b = at[1];
  const half_bytes spread = {a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b};
  const half_bytes bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return (half_bytes)((spread & bit) == bit) & 16;
}

/* Both tables are raised until nothing in them is below 0. */
#define IQ4_RAISED 127.f
#define MXFP4_RAISED 12.f
static const half_bytes IQ4_STEPS = {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240};
static const half_bytes MXFP4_STEPS = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* 2^(exponent − 128): half of E8M0, whose steps count double. */
INLINE float half_power(int exponent) {
  const uint32_t bits = exponent < 2 ? 0x00200000u << exponent : (uint32_t)(exponent - 1) << 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Two blocks of 32 weights. */
INLINE void two_blocks(const int kind, const uint8_t *one, unit *u) {
  const int size = block_bytes(kind);
  const uint8_t *other = one + size;
  const bytes q = join(load16(one + size - 16), load16(other + size - 16));
  bytes low = q & 15, high = q >> 4;
  u->scale[0] = kind == MXFP4 ? halves(half_power(one[0]), half_power(other[0])) : two_float16(one, other);
  if (by_nibble(kind)) {
    from_nibbles(u, (words)q);
  } else {
    if (kind == IQ4_NL) low = looked_up(IQ4_STEPS, low), high = looked_up(IQ4_STEPS, high);
    if (kind == MXFP4) low = looked_up(MXFP4_STEPS, low), high = looked_up(MXFP4_STEPS, high);
    if (kind == Q5_0 || kind == Q5_1) {
      const uint8_t *bits = one + size - 20, *others = other + size - 20;
      low |= join(fifth_bits(bits), fifth_bits(others)), high |= join(fifth_bits(bits + 2), fifth_bits(others + 2));
    }
    from_bytes(u, low, high);
  }
  if (kind == Q4_1 || kind == Q5_1)
    u->more[0] = two_float16(one + 2, other + 2);
  else
    u->more[0] = u->scale[0] * -(kind == Q4_0 ? 8 : kind == Q5_0 ? 16 : kind == IQ4_NL ? IQ4_RAISED : MXFP4_RAISED);
}

INLINE void two_blocks_of_bytes(const uint8_t *one, unit *u) {
  const uint8_t *other = one + 34;
  u->scale[0] = same(float16(one)), u->scale[1] = same(float16(other));
  for (int k = 0; k < 8; k++) u->codes[k] = FLOATS(signed_bytes((k < 4 ? one : other) + 2 + 8 * (k % 4)));
}

/* The 6-bit scales and least numbers of the 8 groups of a block of 256. */
INLINE void by_group(const uint8_t *block, float *scales, float *least) {
  const float scale = float16(block), minimum = float16(block + 2);
  const uint8_t *p = block + 4;
  for (int g = 0; g < 4; g++) {
    scales[g] = scale * (float)(p[g] & 63), least[g] = -(minimum * (float)(p[g + 4] & 63));
    scales[g + 4] = scale * (float)((p[g + 8] & 15) | (p[g] >> 2 & 48));
    least[g + 4] = -(minimum * (float)(p[g + 8] >> 4 | (p[g + 4] >> 2 & 48)));
  }
}

/* A quarter of a block of Q4_K or Q5_K; `scales` and `least` are kept from its first quarter on. */
INLINE void quarter_45(const int kind, const uint8_t *block, int quarter, float *scales, float *least, unit *u) {
  if (quarter == 0) by_group(block, scales, least);
  for (int i = 0; i < 2; i++) u->scale[i] = same(scales[2 * quarter + i]), u->more[i] = same(least[2 * quarter + i]);
  const bytes q = load32(block + block_bytes(kind) - 128 + 32 * quarter);
  if (kind == Q4_K) {
    from_nibbles(u, (words)q);
  } else {
    const bytes fifth = load32(block + 16) >> (uint8_t)(2 * quarter);
    from_bytes(u, (q & 15) | (fifth & 1) << 4, q >> 4 | (fifth & 2) << 3);
  }
}

INLINE void quarter_6(const uint8_t *block, int quarter, unit *u) {
  const uint8_t *at = block + 64 * (quarter / 2);
  const int8_t *scales = (const int8_t *)block + 192 + 4 * quarter;
  const float scale = float16(block + 208);
  bytes first = load32(at), last = load32(at + 32), high = load32(block + 128 + 32 * (quarter / 2));
  if (quarter % 2)
    first >>= 4, last >>= 4, high >>= 4;
  else
    first &= 15, last &= 15;
  from_bytes(u, first | (high & 3) << 4, last | (high & 12) << 2);
  for (int i = 0; i < 2; i++) {
    u->scale[i] = halves(scale * (float)scales[2 * i], scale * (float)scales[2 * i + 1]);
    u->more[i] = u->scale[i] * -32.f;
  }
}

INLINE void quarter_iq4(const uint8_t *block, int quarter, unit *u) {
  const uint8_t *at = block + 8 + 32 * quarter;
  const int low = block[4 + quarter], high = block[2 + quarter / 2] >> 4 * (quarter % 2);
  const int first = (low & 15) | (high & 3) << 4, last = low >> 4 | (high >> 2 & 3) << 4;
  const float scale = float16(block);
  const bytes q = join(load16(at), load16(at + 16));
  u->scale[0] = halves(scale * (float)(first - 32), scale * (float)(last - 32));
  u->more[0] = u->scale[0] * -IQ4_RAISED;
  from_bytes(u, looked_up(IQ4_STEPS, q & 15), looked_up(IQ4_STEPS, q >> 4));
}

/* Unit number `at` of a row. */
INLINE void take(const int kind, const uint8_t *row, ptrdiff_t at, float *scales, float *least, unit *u) {
  const uint8_t *block = row + at / 4 * block_bytes(kind);
  const int quarter = (int)(at % 4);
  switch (kind) {
    case Q8_0: two_blocks_of_bytes(row + 2 * 34 * at, u); break;
    case Q4_K: case Q5_K: quarter_45(kind, block, quarter, scales, least, u); break;
    case Q6_K: quarter_6(block, quarter, u); break;
    case IQ4_XS: quarter_iq4(block, quarter, u); break;
    default: two_blocks(kind, row + 2 * at * block_bytes(kind), u);
  }
}

/* -- Few rows of x ------------------------------------------------------------------------------------------------- */

/* x [rows, width] to [units][rows][ARRANGED]. */
PUBLIC void arrange(int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, float *out) {
  int places[UNIT];
  for (int i = 0; i < UNIT; i++) places[i] = place(kind, i / 8, i % 8);
  for (ptrdiff_t at = 0; at < width; at += UNIT)
    for (ptrdiff_t n = 0; n < rows; n++, out += ARRANGED) {
      const float *from = x + n * width + at;
      memset(out + UNIT, 0, (ARRANGED - UNIT) * sizeof *out);
      for (int k = 0; k < 8; k++)
        for (int lane = 0; lane < 8; lane++) {
          const float value = from[places[8 * k + lane]];
          out[8 * k + lane] = value * power(kind, k);
          out[UNIT + 8 * second(kind, k) + lane] += value;
        }
    }
}

INLINE floats of_unit(const int kind, const unit *u, const float *x, floats total) {
  floats sums[2] = {same(0), same(0)};
  for (int i = 0; i < 8; i++) { /* The halves in turn: a sum waits for its last addition. */
    const int k = kind == Q4_K ? i : i / 2 + i % 2 * 4;
    sums[i % 2] += u->codes[k] * load(x + 8 * k);
  }
  if (!second(kind, 7)) return total + u->scale[0] * (sums[0] + sums[1]) + u->more[0] * load(x + UNIT);
  total += u->scale[0] * sums[0], total += u->scale[1] * sums[1];
  if (kind != Q8_0) total += u->more[0] * load(x + UNIT), total += u->more[1] * load(x + UNIT + 8);
  return total;
}

INLINE void few_rows(const int kind, const int rows, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x,
                     ptrdiff_t apart, ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start, ptrdiff_t stop) {
  for (ptrdiff_t row = start; row < stop; row++) {
    const float *its_x = x;
    float scales[8], least[8];
    floats total[4];
    unit u;
    for (int n = 0; n < rows; n++) total[n] = same(0);
    for (ptrdiff_t at = 0; at < width / UNIT; at++, its_x += apart) {
      take(kind, blocks + row * row_bytes, at, scales, least, &u);
      for (int n = 0; n < rows; n++) total[n] = of_unit(kind, &u, its_x + ARRANGED * n, total[n]);
    }
    for (int n = 0; n < rows; n++) out[n * out_width + row] = sum(total[n]);
  }
}

/* x arranged times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width]. */
TARGET PUBLIC void few(int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x, ptrdiff_t rows,
                       ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start, ptrdiff_t stop) {
  for (ptrdiff_t n = 0, number; n < rows; n += number) {
    const float *some = x + ARRANGED * n;
    number = rows - n >= 4 ? 4 : rows - n >= 2 ? 2 : 1;
#define OF(KIND, NUMBER)            \
  if (kind == KIND && number == NUMBER) \
    few_rows(KIND, NUMBER, blocks, row_bytes, some, ARRANGED * rows, width, out + n * out_width, out_width, start, stop);
#define EACH(KIND) OF(KIND, 1) OF(KIND, 2) OF(KIND, 4)
    KINDS(EACH)
#undef EACH
#undef OF
  }
}

/* -- Many rows of x ------------------------------------------------------------------------------------------------ */

/* x [rows, width] to [panels][width][across], its columns in the order of the codes, the last panel filled up with 0. */
PUBLIC void pack(int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t across, float *out) {
  int places[UNIT];
  for (int i = 0; i < UNIT; i++) places[i] = place(kind, i / 8, i % 8);
  for (ptrdiff_t first = 0; first < rows; first += across)
    for (ptrdiff_t column = 0; column < width; column++)
      for (ptrdiff_t n = first; n < first + across; n++)
        *out++ = n < rows ? x[n * width + column / UNIT * UNIT + places[column % UNIT]] : 0;
}

INLINE void decode(const int kind, const uint8_t *row, ptrdiff_t start, ptrdiff_t columns, float *out) {
  float scales[8], least[8];
  unit u;
  for (ptrdiff_t at = start / UNIT; at < (start + columns) / UNIT; at++, out += UNIT) {
    take(kind, row, at, scales, least, &u);
    for (int k = 0; k < 8; k++) {
      floats weights = u.codes[k] * (u.scale[second(kind, k)] * power(kind, k));
      if (kind != Q8_0) weights += u.more[second(kind, k)];
      memcpy(out + 8 * k, &weights, sizeof weights);
    }
  }
}

/* products [height][8 · across] += weights [height, deep] x [deep][8 · across]: 12 vectors, which stay in registers. */
INLINE void tile(const int across, const float *weights, const float *x, ptrdiff_t deep, float *products, ptrdiff_t apart) {
  const int height = 12 / across;
  floats totals[12];
  for (int i = 0; i < 12; i++) totals[i] = same(0);
  for (ptrdiff_t column = 0; column < deep; column++, x += 8 * across)
    for (int i = 0; i < 12; i++) totals[i] += same(weights[i / across * DEEP + column]) * load(x + 8 * (i % across));
  for (int i = 0; i < height * across; i++) {
    float *to = products + i / across * apart + 8 * (i % across);
    totals[i] += load(to);
    memcpy(to, &totals[i], sizeof totals[i]);
  }
}

INLINE void many_rows(const int kind, const int across, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x,
                      ptrdiff_t rows, ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start, ptrdiff_t stop,
                      float *scratch) {
  const ptrdiff_t panel = 8 * across, filled = (rows + panel - 1) / panel * panel;
  float *weights = scratch, *products = scratch + TALL * DEEP;
  for (ptrdiff_t first = start; first < stop; first += TALL) {
    const ptrdiff_t tall = stop - first < TALL ? stop - first : TALL;
    memset(products, 0, (size_t)(TALL * filled) * sizeof *products);
    for (ptrdiff_t column = 0; column < width; column += DEEP) {
      const ptrdiff_t deep = width - column < DEEP ? width - column : DEEP;
      for (ptrdiff_t row = 0; row < tall; row++)
        decode(kind, blocks + (first + row) * row_bytes, column, deep, weights + row * DEEP);
      for (ptrdiff_t n = 0; n < filled; n += panel)
        for (ptrdiff_t row = 0; row < tall; row += 12 / across)
          tile(across, weights + row * DEEP, x + n * width + column * panel, deep, products + row * filled + n, filled);
    }
    for (ptrdiff_t n = 0; n < rows; n++)
      for (ptrdiff_t row = 0; row < tall; row++) out[n * out_width + first + row] = products[row * filled + n];
  }
}

/* x packed, 8 or 16 across, times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width].
   `scratch`: TALL · (DEEP + rows filled up) numbers, 0 at first, of this call alone. */
TARGET PUBLIC void many(int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x, ptrdiff_t rows,
                        ptrdiff_t width, ptrdiff_t across, float *out, ptrdiff_t out_width, ptrdiff_t start,
                        ptrdiff_t stop, float *scratch) {
#define OF(KIND, ACROSS)                   \
  if (kind == KIND && across == 8 * ACROSS) \
    many_rows(KIND, ACROSS, blocks, row_bytes, x, rows, width, out, out_width, start, stop, scratch);
#define EACH(KIND) OF(KIND, 1) OF(KIND, 2)
  KINDS(EACH)
#undef EACH
#undef OF
}

#include "rounded.c"

/* -- As a library -------------------------------------------------------------------------------------------------- */

/* Whether this processor has the instructions. */
PUBLIC int usable(void) {
#ifdef X86
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}

/* It is opened as a library of C: no header of Python's is needed, and one file serves every Python. Windows wants the
   name of a module in what is built as one. */
PUBLIC void *PyInit__products(void) { return NULL; }
