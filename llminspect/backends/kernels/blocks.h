/* Units of 64 weights of a row, out of the blocks of a file. */
#pragma once
#include "vectors.h"

/* The numbers of the types in a GGUF file. */
enum { F32, F16, Q4_0, Q4_1, Q5_0 = 6, Q5_1, Q8_0, Q4_K = 12, Q5_K, Q6_K, IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, MXFP4 = 39 };
#define PLAIN(DO) DO(F32) DO(F16) DO(BF16)
#define IN_32(DO) DO(Q4_0) DO(Q4_1) DO(Q5_0) DO(Q5_1) DO(Q8_0) DO(IQ4_NL) DO(MXFP4)
#define IN_256(DO) DO(Q4_K) DO(Q5_K) DO(Q6_K) DO(IQ4_XS)
#define KINDS(DO) PLAIN(DO) IN_32(DO) IN_256(DO)

enum { UNIT = 64 };

typedef struct {
  floats codes[8];
  floats scale[2], more[2]; /* Of both halves of the codes (`second`); the first alone where the kind has no halves. */
} unit;

static inline int plain(int kind) { return kind == F32 || kind == F16 || kind == BF16; }

static inline int block_weights(int kind) {
  return plain(kind) ? 1 : kind == Q4_K || kind == Q5_K || kind == Q6_K || kind == IQ4_XS ? 256 : 32;
}

static inline int block_bytes(int kind) {
  switch (kind) {
    case F32: return 4;
    case F16: case BF16: return 2;
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

static inline ptrdiff_t bytes_of(int kind, ptrdiff_t weights) { return weights / block_weights(kind) * block_bytes(kind); }

static inline int by_nibble(int kind) { return kind == Q4_0 || kind == Q4_1 || kind == Q4_K; }

/* Whether vector k has the second scale. */
static inline int second(int kind, int k) {
  if (kind == Q4_K) return k % 2;
  return kind == Q8_0 || kind == Q5_K || kind == Q6_K ? k / 4 : 0;
}

/* Which weight of a unit is in lane `lane` of vector k. */
static int place(int kind, int k, int lane) {
  const int in_two_blocks = 32 * (lane / 4) + 4 * (lane % 4);
  if (plain(kind)) return 8 * k + lane;
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
  const int bits = kind == Q8_0 || plain(kind) ? 0 : by_nibble(kind) ? 4 * k : 8 * (k % 4);
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

INLINE void numbers(const int kind, const uint8_t *at, unit *u) {
  for (int k = 0; k < 8; k++, at += bytes_of(kind, 8)) {
    if (kind == F32) memcpy(&u->codes[k], at, sizeof u->codes[k]);
    if (kind == F16) u->codes[k] = float16s(at);
    if (kind == BF16) u->codes[k] = bfloat16s(at);
  }
}

/* Unit number `at` of a row of `width` weights; what is beyond the row is 0. */
INLINE void take(const int kind, const uint8_t *row, ptrdiff_t at, ptrdiff_t width, float *scales, float *least, unit *u) {
  uint8_t filled[UNIT * sizeof(float)];
  if (block_weights(kind) < UNIT && __builtin_expect(UNIT * (at + 1) > width, 0)) {
    memset(filled, 0, sizeof filled);
    memcpy(filled, row + bytes_of(kind, UNIT * at), (size_t)bytes_of(kind, width - UNIT * at));
    row = filled, at = 0;
  }
  const uint8_t *from = row + at * bytes_of(kind, UNIT), *block = row + at / 4 * block_bytes(kind);
  const int quarter = (int)(at % 4);
  switch (kind) {
    case F32: case F16: case BF16: numbers(kind, from, u); break;
    case Q8_0: two_blocks_of_bytes(from, u); break;
    case Q4_K: case Q5_K: quarter_45(kind, block, quarter, scales, least, u); break;
    case Q6_K: quarter_6(block, quarter, u); break;
    case IQ4_XS: quarter_iq4(block, quarter, u); break;
    default: two_blocks(kind, from, u);
  }
}
