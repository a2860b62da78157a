/* y = x Wᵀ with x as whole numbers: a part of products.c, which says what blocks are and includes this file.

   Codes of weights and digits of x (pieces.h) are multiplied as whole numbers, which adds them up without rounding, and
   what comes of it by the scales. With AVX2 two products are made in 16 bits: no code of a weight has more than 7 bits
   beside its sign, and no digit is −128. One instruction multiplies 32 codes, where float32 takes four of 8 and four
   more to convert them: so three digits take half as long as float32 for one row of x. */
#include "pieces.h"

/* The matrix is fetched that many bytes before it is needed, into the second cache: the first one is full of x. */
enum { AHEAD = 4096 };
#define FETCH(at) __builtin_prefetch((at) + AHEAD, 0, 2)

static const half_bytes IQ4_SIGNED = {129, 152, 173, 191, 207, 221, 234, 246, 1, 13, 25, 38, 53, 69, 89, 113};

/* codes[2i] · x[2i] + codes[2i + 1] · x[2i + 1]. */
INLINE shorts by_two(const int signs, bytes codes, const int8_t *at) {
  const bytes x = load32((const uint8_t *)at);
#ifdef X86
  const __m256i c = (__m256i)codes, v = (__m256i)x;
  return (shorts)(signs ? _mm256_maddubs_epi16(_mm256_abs_epi8(c), _mm256_sign_epi8(v, c)) : _mm256_maddubs_epi16(c, v));
#else
  shorts out;
  for (int i = 0; i < 16; i++) {
    const int a = signs ? (int8_t)codes[2 * i] : codes[2 * i], b = signs ? (int8_t)codes[2 * i + 1] : codes[2 * i + 1];
    out[i] = (int16_t)(a * (int8_t)x[2 * i] + b * (int8_t)x[2 * i + 1]);
  }
  return out;
#endif
}

/* a[2i] · b[2i] + a[2i + 1] · b[2i + 1]. */
INLINE ints by_four(shorts a, shorts b) {
#ifdef X86
  return (ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
  ints out;
  for (int i = 0; i < 8; i++) out[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return out;
#endif
}

/* The same, added to `total`. Where it is fused that is one instruction, of AVX-512's VNNI: named here, since a function for
   processors that may not have it cannot call it. */
INLINE ints plus_by_four(const int fused, ints total, shorts a, shorts b) {
#ifdef X86
  if (fused) {
    __asm__("vpdpwssd %2, %1, %0" : "+x"(total) : "x"(a), "x"(b));
    return total;
  }
#endif
  (void)fused;
  return total + by_four(a, b);
}

/* Four products of bytes, in the same way; only where they are fused. */
INLINE ints plus_by_byte(const int signs, ints total, bytes codes, const int8_t *at) {
#ifdef X86
  const __m256i c = (__m256i)codes, v = (__m256i)load32((const uint8_t *)at);
  const __m256i a = signs ? _mm256_abs_epi8(c) : c, b = signs ? _mm256_sign_epi8(v, c) : v;
  __asm__("vpdpbusd %2, %1, %0" : "+x"(total) : "x"(a), "x"(b));
#else
  (void)signs, (void)codes, (void)at;
#endif
  return total;
}

/* Whether this processor has these instructions. */
static int can_fuse(void) {
#if defined(X86) && !defined(NOT_FUSED)
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
#else
  return 0;
#endif
}

INLINE shorts halves_short(int a, int b) {
#ifdef X86
  return (shorts)_mm256_set_m128i(_mm_set1_epi16((int16_t)b), _mm_set1_epi16((int16_t)a));
#else
  shorts v;
  for (int i = 0; i < 16; i++) v[i] = (int16_t)(i < 8 ? a : b);
  return v;
#endif
}

INLINE shorts same_short(int a) {
#ifdef X86
  return (shorts)_mm256_set1_epi16((int16_t)a);
#else
  return halves_short(a, a);
#endif
}

/* What is beside the digits of two small blocks. */
INLINE floats scales_beside(const uint8_t *at) {
#ifdef X86
  return (floats)_mm256_permute4x64_epi64((__m256i)load32(at), 0x50);
#else
  float v[4];
  memcpy(v, at, sizeof v);
  return halves(v[0], v[2]);
#endif
}

INLINE floats sums_beside(const uint8_t *at) {
#ifdef X86
  return (floats)_mm256_cvtepu32_epi64((__m128i)load16(at + 16));
#else
  float v[4];
  memcpy(v, at + 16, sizeof v);
  return (floats){v[0], 0, 0, 0, v[2], 0, 0, 0};
#endif
}

INLINE floats numbers_beside(const uint8_t *at) {
  floats v;
  memcpy(&v, at, sizeof v);
  return v;
}

/* Two small blocks: their codes, in the order of a piece, and scales. */
INLINE void small_codes(const int kind, const uint8_t *one, bytes *codes, floats *scale, floats *least) {
  const int size = block_bytes(kind);
  const uint8_t *other = one + size;
  const bytes q = join(load16(one + size - 16), load16(other + size - 16));
  *scale = kind == MXFP4 ? halves(half_power(one[0]), half_power(other[0])) : two_float16(one, other);
  if (kind == Q8_0) {
    codes[0] = join(load16(one + 2), load16(other + 2)), codes[1] = q;
    return;
  }
  codes[0] = q & 15, codes[1] = q >> 4;
  for (int i = 0; i < 2; i++) {
    if (kind == IQ4_NL) codes[i] = looked_up(IQ4_SIGNED, codes[i]);
    if (kind == MXFP4) codes[i] = looked_up(MXFP4_STEPS, codes[i]);
    if (kind == Q5_0 || kind == Q5_1)
      codes[i] |= join(fifth_bits(one + size - 20 + 2 * i), fifth_bits(other + size - 20 + 2 * i));
  }
  if (has_least(kind)) *least = two_float16(one + 2, other + 2);
}

/* The products of 64 codes with a digit of x, four added up in each place. */
INLINE ints by_digit(const int signs, const int fused, const bytes *codes, const uint8_t *x) {
  const int8_t *first = (const int8_t *)x, *last = first + 32;
  if (fused) return plus_by_byte(signs, plus_by_byte(signs, (ints){0}, codes[0], first), codes[1], last);
  const shorts once = same_short(1), a = by_two(signs, codes[0], first), b = by_two(signs, codes[1], last);
  return signs ? by_four(a, once) + by_four(b, once) : by_four(a + b, once);
}

INLINE void small_rows(const int kind, const int digits, const int rows, const int fused, const uint8_t *row,
                       const uint8_t *x, ptrdiff_t apart, ptrdiff_t width, floats *totals) {
  const int signs = with_sign(kind);
  for (ptrdiff_t at = 0; at < width / UNIT; at++, x += apart) {
    const uint8_t *block = row + 2 * at * block_bytes(kind);
    bytes codes[2];
    floats scale, least = same(0);
    FETCH(block);
    small_codes(kind, block, codes, &scale, &least);
    for (int n = 0; n < rows; n++) {
      const uint8_t *its = x + n * piece_bytes(digits), *beside = its + UNIT * digits;
      const floats scale_of_x = scales_beside(beside);
      ints whole = by_digit(signs, fused, codes, its);
      if (digits == 3) whole += by_digit(signs, fused, codes, its + UNIT) * BASE;
      floats all = FLOATS(whole);
      if (digits == 3) all += (float)(BASE * BASE) * FLOATS(by_digit(signs, fused, codes, its + 2 * UNIT));
      if (raised(kind) < 0) all += sums_beside(beside);
      totals[n] += (scale * scale_of_x) * all;
      if (has_least(kind)) totals[n] += (least * scale_of_x) * sums_beside(beside);
    }
  }
}

/* The scales of the 8 groups of a block of Q4_K or Q5_K, and their least numbers. */
INLINE floats six_bits(const uint8_t *p, int16_t *scales) {
  uint32_t a, b, c;
  memcpy(&a, p, 4), memcpy(&b, p + 4, 4), memcpy(&c, p + 8, 4);
  const uint32_t more = (c & 0x0F0F0F0F) | (a >> 2 & 0x30303030), more_least = (c >> 4 & 0x0F0F0F0F) | (b >> 2 & 0x30303030);
  a &= 0x3F3F3F3F, b &= 0x3F3F3F3F;
#ifdef X86
  const __m128i all = _mm_set_epi32((int)more_least, (int)b, (int)more, (int)a);
  _mm_storeu_si128((__m128i *)scales, _mm_cvtepu8_epi16(all));
  return (floats)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(all, all)));
#else
  floats least;
  for (int g = 0; g < 4; g++) {
    scales[g] = a >> 8 * g & 63, scales[g + 4] = more >> 8 * g & 63;
    least[g] = (float)(b >> 8 * g & 63), least[g + 4] = (float)(more_least >> 8 * g & 63);
  }
  return least;
#endif
}

/* A quarter of a large block: its codes, in the order of a piece, and the scales of the pairs of their products. */
INLINE void large_codes(const int kind, const uint8_t *block, int quarter, const int16_t *six, bytes *codes, shorts *scales) {
  if (kind == Q6_K) {
    const uint8_t *at = block + 64 * (quarter / 2);
    const int8_t *s = (const int8_t *)block + 192 + 4 * quarter;
    const bytes high = load32(block + 128 + 32 * (quarter / 2)) >> (uint8_t)(quarter % 2 * 4);
    const bytes first = load32(at), last = load32(at + 32);
    codes[0] = (quarter % 2 ? first >> 4 : first & 15) | (high & 3) << 4;
    codes[1] = (quarter % 2 ? last >> 4 : last & 15) | (high & 12) << 2;
    scales[0] = halves_short(s[0], s[1]), scales[1] = halves_short(s[2], s[3]);
  } else if (kind == IQ4_XS) {
    const uint8_t *at = block + 8 + 32 * quarter;
    const int low = block[4 + quarter], high = block[2 + quarter / 2] >> 4 * (quarter % 2);
    const bytes q = join(load16(at), load16(at + 16));
    codes[0] = looked_up(IQ4_SIGNED, q & 15), codes[1] = looked_up(IQ4_SIGNED, q >> 4);
    scales[0] = scales[1] = halves_short(((low & 15) | (high & 3) << 4) - 32, (low >> 4 | (high >> 2 & 3) << 4) - 32);
  } else {
    const bytes q = load32(block + block_bytes(kind) - 128 + 32 * quarter);
    codes[0] = q & 15, codes[1] = q >> 4;
    if (kind == Q5_K) {
      const bytes fifth = load32(block + 16) >> (uint8_t)(2 * quarter);
      codes[0] |= (fifth & 1) << 4, codes[1] |= (fifth & 2) << 3;
    }
    scales[0] = same_short(six[2 * quarter]), scales[1] = same_short(six[2 * quarter + 1]);
  }
}

INLINE void large_rows(const int kind, const int digits, const int rows, const int fused, const uint8_t *block,
                       const uint8_t *x, ptrdiff_t apart, ptrdiff_t width, floats *totals) {
  const int piece = (int)piece_bytes(digits);
  for (ptrdiff_t at = 0; at < width / 256; at++, block += block_bytes(kind)) {
    const uint8_t *beside = x + UNIT * digits;
    const floats scale = same(float16(block + (kind == Q6_K ? 208 : 0)));
    int16_t six[8];
    floats least = same(0);
    ints whole[4][3];
    if (kind == Q4_K || kind == Q5_K) least = same(float16(block + 2)) * six_bits(block + 4, six);
    for (int n = 0; n < rows; n++)
      for (int digit = 0; digit < digits; digit++) whole[n][digit] = (ints){0};
    for (int quarter = 0; quarter < 4; quarter++, x += apart) {
      bytes codes[2];
      shorts scales[2];
      FETCH(block + block_bytes(kind) / 4 * quarter);
      large_codes(kind, block, quarter, six, codes, scales);
      for (int n = 0; n < rows; n++)
        for (int digit = 0; digit < digits; digit++)
          for (int i = 0; i < 2; i++) {
            const int8_t *its = (const int8_t *)x + n * piece + UNIT * digit + 32 * i;
            whole[n][digit] = plus_by_four(fused, whole[n][digit], by_two(with_sign(kind), codes[i], its), scales[i]);
          }
    }
    for (int n = 0; n < rows; n++, beside += piece) {
      const floats scale_of_x = numbers_beside(beside), sums = numbers_beside(beside + apart);
      floats all = FLOATS(whole[n][0]);
      if (digits == 3) all += (float)BASE * FLOATS(whole[n][1]), all += (float)(BASE * BASE) * FLOATS(whole[n][2]);
      if (kind == Q6_K) {
        const floats more = FLOATS(signed_bytes(block + 200)) * numbers_beside(beside + 2 * apart);
        all -= 32.f * (FLOATS(signed_bytes(block + 192)) * sums + more);
      }
      if (kind == Q4_K || kind == Q5_K) totals[n] -= scale_of_x * (least * sums);
      totals[n] += (scale * scale_of_x) * all;
    }
  }
}

enum { TOGETHER = 16 /* Rows of the matrix that stay in the cache for all rows of x. */ };

INLINE void whole_rows(const int kind, const int digits, const int rows, const int fused, const uint8_t *blocks,
                       ptrdiff_t row_bytes, const uint8_t *x, ptrdiff_t apart, ptrdiff_t width, float *out, ptrdiff_t out_width,
                       ptrdiff_t start, ptrdiff_t stop) {
  for (ptrdiff_t row = start; row < stop; row++) {
    floats totals[4];
    for (int n = 0; n < rows; n++) totals[n] = same(0);
    if (is_large(kind))
      large_rows(kind, digits, rows, fused, blocks + row * row_bytes, x, apart, width, totals);
    else
      small_rows(kind, digits, rows, fused, blocks + row * row_bytes, x, apart, width, totals);
    for (int n = 0; n < rows; n++) out[n * out_width + row] = sum(totals[n]);
  }
}

/* x as pieces times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width]. */
TARGET static void whole(int digits, int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const uint8_t *x,
                         ptrdiff_t rows, ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start,
                         ptrdiff_t stop) {
  const ptrdiff_t piece = piece_bytes(digits);
  /* One digit and large blocks wait for memory: fused it was no faster. */
  const int fuses = (digits == 3 || !is_large(kind)) && can_fuse();
  for (ptrdiff_t first = start; first < stop; first += TOGETHER) {
    const ptrdiff_t last = stop - first < TOGETHER ? stop : first + TOGETHER;
    for (ptrdiff_t n = 0, number; n < rows; n += number) {
      number = digits == 1 && rows - n >= 4 ? 4 : 1;
#define OF(KIND, DIGITS, NUMBER, FUSED)                                                                     \
  if (kind == KIND && digits == DIGITS && number == NUMBER && fuses == FUSED)                               \
    whole_rows(KIND, DIGITS, NUMBER, FUSED, blocks, row_bytes, x + n * piece, rows * piece, width,          \
               out + n * out_width, out_width, first, last);
#define LARGE(KIND) OF(KIND, 1, 1, 0) OF(KIND, 1, 4, 0) OF(KIND, 3, 1, 0) OF(KIND, 3, 1, 1)
#define SMALL(KIND) LARGE(KIND) OF(KIND, 1, 1, 1) OF(KIND, 1, 4, 1)
      IN_32(SMALL) IN_256(LARGE)
#undef LARGE
#undef SMALL
#undef OF
    }
  }
}
