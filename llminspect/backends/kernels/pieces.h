/* Rows of x as whole numbers, as whole.c multiplies with them.

   As many numbers of x as are in a block of the weights, 32 or 256, become whole numbers times one scale. With one digit
   those go from −127 to 127, as llama.cpp rounds (ggml's `quantize_row_q8_0` and `_q8_K`; llama.cpp keeps the scale of 32
   numbers as float16, this program as float32). With three, each from −127 to 127 in base 255, they go to 8,290,687, so that
   none is farther off than 2^-23.98 = 6.0e-8 times the largest of its block: what float32 itself does to the largest. */
#pragma once
#include "blocks.h"

enum {
  BASE = 255,
  LARGEST = 127 * (BASE * BASE + BASE + 1), /* In three digits. */
  BESIDE = 32, /* Bytes of what is kept beside the digits of a unit. Small blocks: the scales of both, each twice, and the sums
                  of the numbers of both, by `raised`, each before a 0. Large ones: with the first unit of a block its scale,
                  8 times, with the second and third the sums of 16 numbers each, or with the second those of 32. */
};

/* Bytes of UNIT numbers of one row of x: a digit of all, the next digit of all, and what is beside them. */
static inline ptrdiff_t piece_bytes(int digits) { return UNIT * digits + BESIDE; }

static inline int is_large(int kind) { return block_weights(kind) == 256; }

/* Whether codes of weights have signs. */
static inline int with_sign(int kind) { return kind == Q8_0 || kind == IQ4_NL || kind == IQ4_XS; }

static inline int has_least(int kind) { return kind == Q4_1 || kind == Q5_1; }

/* What the codes of small blocks are raised by; kinds with a least number take the plain sum. */
static inline int raised(int kind) {
  return kind == Q4_0 ? -8 : kind == Q5_0 ? -16 : kind == MXFP4 ? -(int)MXFP4_RAISED : has_least(kind);
}

/* Which 16 numbers of a unit are in place j: where blocks have 32 weights, the first halves of two come before the last. */
static inline int sixteenth(int kind, int j) { return is_large(kind) && kind != IQ4_XS ? j : j % 2 * 2 + j / 2; }

#ifndef X86
/* The nearest whole number, of two the even one. A function that is not inlined keeps its argument a float32. */
static __attribute__((noinline)) float nearest(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }
#endif

/* 8 numbers as one digit. */
INLINE ints one_digit(const float *from, float by, int8_t *codes) {
#ifdef X86
  const ints whole = (ints)_mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from), _mm256_set1_ps(by)));
#else
  ints whole;
  for (int i = 0; i < 8; i++) whole[i] = (int)nearest(from[i] * by);
#endif
  const eight_bytes in_bytes = __builtin_convertvector(whole, eight_bytes);
  memcpy(codes, &in_bytes, sizeof in_bytes);
  return whole;
}

INLINE doubles nearest_whole(doubles v) { return (v + 0x1.8p52) - 0x1.8p52; }

INLINE void in_bytes(doubles low, doubles high, int8_t *to) {
  const four_ints a = __builtin_convertvector(low, four_ints), b = __builtin_convertvector(high, four_ints);
  const ints both = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
  const eight_bytes codes = __builtin_convertvector(both, eight_bytes);
  memcpy(to, &codes, sizeof codes);
}

/* 8 numbers as three digits. */
INLINE ints three_digits(const float *from, double by, int8_t *low, int8_t *middle, int8_t *high) {
  doubles whole[2], digits[3][2];
  for (int half = 0; half < 2; half++) {
    four_floats x;
    memcpy(&x, from + 4 * half, sizeof x);
    whole[half] = nearest_whole(__builtin_convertvector(x, doubles) * by);
    const doubles upper = nearest_whole(whole[half] * (1. / BASE)), top = nearest_whole(upper * (1. / BASE));
    digits[0][half] = whole[half] - BASE * upper, digits[1][half] = upper - BASE * top, digits[2][half] = top;
  }
  in_bytes(digits[0][0], digits[0][1], low), in_bytes(digits[1][0], digits[1][1], middle);
  in_bytes(digits[2][0], digits[2][1], high);
  const four_ints a = __builtin_convertvector(whole[0], four_ints), b = __builtin_convertvector(whole[1], four_ints);
  return (ints){a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
}

/* The digits of one block, the sums of 16 numbers each, the scale. NaN is the scale where something is no number. */
INLINE float block_of_x(const int digits, const float *from, int length, int8_t (*codes)[256], float *sums,
                       int *faithful) {
  int32_t bits = 0; /* Of numbers without signs, whose order is theirs; NaN and infinite come last. */
  for (int i = 0; i < length; i++) {
    int32_t its;
    memcpy(&its, from + i, sizeof its), its &= 0x7FFFFFFF;
    bits = its > bits ? its : bits;
  }
  float most;
  memcpy(&most, &bits, sizeof most);
  const int finite = bits < 0x7F800000, used = finite && most > 0x1p-100f;
  if (!used) {
    *faithful &= bits == 0;
    for (int digit = 0; digit < digits; digit++) memset(codes[digit], 0, (size_t)length);
    memset(sums, 0, (size_t)length / 16 * sizeof *sums);
    return finite ? most / (digits == 1 ? 127.f : (float)LARGEST) : __builtin_nanf("");
  }
  for (int i = 0; i < length; i += 16) {
    ints whole;
    if (digits == 1)
      whole = one_digit(from + i, 127.f / most, codes[0] + i) + one_digit(from + i + 8, 127.f / most, codes[0] + i + 8);
    else
      whole = three_digits(from + i, LARGEST / (double)most, codes[0] + i, codes[1] + i, codes[2] + i) +
              three_digits(from + i + 8, LARGEST / (double)most, codes[0] + i + 8, codes[1] + i + 8, codes[2] + i + 8);
    int total = 0;
    for (int j = 0; j < 8; j++) total += whole[j];
    sums[i / 16] = (float)total;
  }
  return digits == 1 ? most / 127.f : (float)(most / (double)LARGEST);
}

INLINE int pieces(const int digits, int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, uint8_t *out) {
  const int length = block_weights(kind);
  int faithful = 1;
  for (ptrdiff_t n = 0; n < rows; n++)
    for (ptrdiff_t at = 0; at < width; at += length) {
      int8_t codes[3][256];
      float sums[16], beside[4 * BESIDE / sizeof(float)] = {0};
      const float scale = block_of_x(digits, x + n * width + at, length, codes, sums, &faithful);
      const ptrdiff_t apart = rows * piece_bytes(digits);
      uint8_t *to = out + at / UNIT * apart + n * piece_bytes(digits);
      if (length == 256) {
        for (int j = 0; j < 8; j++) beside[j] = scale;
        for (int j = 0; j < 16; j++) beside[8 + (kind == Q6_K ? j : j / 2)] += sums[j];
        for (int unit = 0; unit < 4; unit++, to += apart) {
          for (int digit = 0; digit < digits; digit++)
            for (int j = 0; j < 4; j++) memcpy(to + UNIT * digit + 16 * j, codes[digit] + UNIT * unit + 16 * sixteenth(kind, j), 16);
          memcpy(to + UNIT * digits, beside + 8 * unit, BESIDE);
        }
      } else { /* A small block is half a unit. */
        const int half = (int)(at % UNIT) / 32;
        for (int digit = 0; digit < digits; digit++)
          for (int j = 0; j < 2; j++) memcpy(to + UNIT * digit + 32 * j + 16 * half, codes[digit] + 16 * j, 16);
        const float scales[2] = {scale, scale}, its_sum[2] = {(float)raised(kind) * (sums[0] + sums[1]), 0};
        memcpy(to + UNIT * digits + 8 * half, scales, 8), memcpy(to + UNIT * digits + 16 + 8 * half, its_sum, 8);
      }
    }
  return faithful;
}

/* x [rows, width] to [units][rows] of pieces, with one digit or three. Whether all is as near as is said above: not where
   there is NaN, an infinite number, or a block of numbers that are all so small that three digits have no scale. */
TARGET PUBLIC int write_pieces(int digits, int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, uint8_t *out) {
  return digits == 1 ? pieces(1, kind, x, rows, width, out) : pieces(3, kind, x, rows, width, out);
}
