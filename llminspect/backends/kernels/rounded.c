/* y = x Wᵀ with x rounded to 8 bits: a part of products.c, which says what blocks are and includes this file.

   As llama.cpp does it (ggml's `quantize_row_q8_0` and `_q8_K`), as many numbers of x as are in a block of the weights,
   32 or 256, become whole numbers from −127 to 127 times a 127th of the largest of them. (llama.cpp keeps that factor of
   32 numbers as float16, this program as float32.) Codes of weights and of x are multiplied as whole numbers, which adds
   them up without rounding, and what comes of it by the scales. With AVX2 two products are made in 16 bits: no code of a
   weight has more than 7 bits beside its sign. */

typedef int16_t shorts __attribute__((vector_size(32)));

/* What is kept of UNIT numbers of one row of x. */
typedef struct {
  int8_t codes[UNIT];
  float scale[8];  /* Of lanes. */
  int32_t sums[8]; /* Small blocks: in lanes 0 and 4 the sums of the codes of both, by `raised`. Large ones, in the last
                      quarter: 16 numbers of 16 bits, the sums of each 16 codes of the block. */
} piece;

static inline int is_large(int kind) { return kind == Q4_K || kind == Q5_K || kind == Q6_K || kind == IQ4_XS; }

/* Whether codes of weights have signs. */
static inline int with_sign(int kind) { return kind == Q8_0 || kind == IQ4_NL || kind == IQ4_XS; }

static inline int has_least(int kind) { return kind == Q4_1 || kind == Q5_1; }

/* What the codes of small blocks are raised by; kinds with a least number take the plain sum. */
static inline int raised(int kind) {
  return kind == Q4_0 ? -8 : kind == Q5_0 ? -16 : kind == MXFP4 ? -(int)MXFP4_RAISED : has_least(kind);
}

/* Which number of a unit is code i: in the order of the weights, or the first halves of two blocks and then the last. */
static inline int place_rounded(int kind, int i) {
  const int swap = kind == Q4_K || kind == Q5_K || kind == Q6_K ? 0 : i / 16 == 1 ? 16 : i / 16 == 2 ? -16 : 0;
  return i + swap;
}

static const half_bytes IQ4_SIGNED = {129, 152, 173, 191, 207, 221, 234, 246, 1, 13, 25, 38, 53, 69, 89, 113};

#ifndef X86
/* The nearest whole number, of two the even one. A function that is not inlined keeps its argument a float32. */
static __attribute__((noinline)) float nearest(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }
#endif

/* x [rows, width] to [units][rows] of pieces. */
TARGET PUBLIC void arrange_rounded(int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, piece *out) {
  const int length = is_large(kind) ? 256 : 32;
  int places[UNIT];
  for (int i = 0; i < UNIT; i++) places[i] = place_rounded(kind, i);
  for (ptrdiff_t n = 0; n < rows; n++)
    for (ptrdiff_t at = 0; at < width; at += length) {
      const float *from = x + n * width + at;
      float most = 0, wrong = 0;
      for (int i = 0; i < length; i++) {
        const float size = from[i] < 0 ? -from[i] : from[i];
        most = size > most ? size : most;
        wrong += from[i] * 0; /* NaN of what is no number. */
      }
      const float by = most > 0x1p-100f ? 127.f / most : 0, scale = most / 127.f + wrong;
      int8_t codes[256];
      int16_t sums[16] = {0};
      for (int i = 0; i < length; i += 8) {
#ifdef X86
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(from + i), _mm256_set1_ps(by));
        const ints whole = (ints)_mm256_cvtps_epi32(_mm256_round_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        for (int j = 0; j < 8; j++) codes[i + j] = (int8_t)whole[j];
#else
        for (int j = 0; j < 8; j++) codes[i + j] = wrong == 0 ? (int8_t)nearest(from[i + j] * by) : 0;
#endif
        for (int j = 0; j < 8; j++) sums[i / 16] = (int16_t)(sums[i / 16] + codes[i + j]);
      }
      for (int i = 0; i < length; i += UNIT < length ? UNIT : length) {
        piece *to = out + (at + i) / UNIT * rows + n;
        const int half = (int)((at + i) % UNIT); /* A small block is half a unit. */
        if (length == 256) {
          for (int j = 0; j < UNIT; j++) to->codes[j] = codes[i + places[j]];
          for (int j = 0; j < 8; j++) to->scale[j] = scale;
          memcpy(to->sums, sums, sizeof sums);
        } else {
          for (int j = 0; j < UNIT; j++)
            if (places[j] / 32 == half / 32) to->codes[j] = codes[places[j] % 32];
          for (int j = 0; j < 4; j++) to->scale[half / 8 + j] = scale, to->sums[half / 8 + j] = 0;
          to->sums[half / 8] = raised(kind) * (sums[0] + sums[1]);
        }
      }
    }
}

INLINE ints load_ints(const int32_t *at) {
  ints v;
  memcpy(&v, at, sizeof v);
  return v;
}

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

INLINE void small_rows(const int kind, const int rows, const uint8_t *row, const piece *x, ptrdiff_t apart,
                       ptrdiff_t width, floats *totals) {
  const shorts ones = same_short(1);
  for (ptrdiff_t at = 0; at < width / UNIT; at++, x += apart) {
    bytes codes[2];
    floats scale, least;
    small_codes(kind, row + 2 * at * block_bytes(kind), codes, &scale, &least);
    for (int n = 0; n < rows; n++) {
      const shorts a = by_two(with_sign(kind), codes[0], x[n].codes), b = by_two(with_sign(kind), codes[1], x[n].codes + 32);
      const floats scale_of_x = load(x[n].scale);
      ints whole = with_sign(kind) ? by_four(a, ones) + by_four(b, ones) : by_four(a + b, ones);
      if (raised(kind) < 0) whole += load_ints(x[n].sums);
      totals[n] += (scale * scale_of_x) * FLOATS(whole);
      if (has_least(kind)) totals[n] += (least * scale_of_x) * FLOATS(load_ints(x[n].sums));
    }
  }
}

/* The scales of the 8 groups of a block of Q4_K or Q5_K, and twice each the least numbers: for the sums of 16 codes. */
INLINE shorts six_bits(const uint8_t *p, int16_t *scales) {
  uint32_t a, b, c;
  memcpy(&a, p, 4), memcpy(&b, p + 4, 4), memcpy(&c, p + 8, 4);
  const uint32_t more = (c & 0x0F0F0F0F) | (a >> 2 & 0x30303030), more_least = (c >> 4 & 0x0F0F0F0F) | (b >> 2 & 0x30303030);
  a &= 0x3F3F3F3F, b &= 0x3F3F3F3F;
#ifdef X86
  const __m128i all = _mm_set_epi32((int)more_least, (int)b, (int)more, (int)a);
  _mm_storeu_si128((__m128i *)scales, _mm_cvtepu8_epi16(all));
  return (shorts)_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(all, all));
#else
  shorts least;
  for (int g = 0; g < 4; g++) {
    scales[g] = a >> 8 * g & 63, scales[g + 4] = more >> 8 * g & 63;
    least[2 * g] = least[2 * g + 1] = b >> 8 * g & 63, least[2 * g + 8] = least[2 * g + 9] = more_least >> 8 * g & 63;
  }
  return least;
#endif
}

/* The 16 scales of a block of Q6_K. */
INLINE shorts sixteen_scales(const uint8_t *at) {
#ifdef X86
  return (shorts)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)at));
#else
  shorts v;
  for (int i = 0; i < 16; i++) v[i] = (int8_t)at[i];
  return v;
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

INLINE void large_rows(const int kind, const int rows, const uint8_t *block, const piece *x, ptrdiff_t apart,
                       ptrdiff_t width, floats *totals) {
  for (ptrdiff_t at = 0; at < width / 256; at++, block += block_bytes(kind)) {
    const floats scale = same(float16(block + (kind == Q6_K ? 208 : 0)));
    int16_t six[8];
    shorts beside = {0};
    ints whole[4];
    if (kind == Q4_K || kind == Q5_K) beside = six_bits(block + 4, six);
    if (kind == Q6_K) beside = sixteen_scales(block + 192);
    for (int n = 0; n < rows; n++) whole[n] = (ints){0};
    for (int quarter = 0; quarter < 4; quarter++, x += apart) {
      bytes codes[2];
      shorts scales[2];
      large_codes(kind, block, quarter, six, codes, scales);
      for (int n = 0; n < rows; n++)
        for (int i = 0; i < 2; i++)
          whole[n] += by_four(by_two(with_sign(kind), codes[i], x[n].codes + 32 * i), scales[i]);
    }
    for (int n = 0; n < rows; n++) {
      const piece *last = x - apart + n;
      const floats scale_of_x = load(last->scale);
      if (kind != IQ4_XS) {
        const ints of_sums = by_four(beside, (shorts)load_ints(last->sums));
        if (kind == Q6_K)
          whole[n] -= of_sums << 5;
        else
          totals[n] -= (same(float16(block + 2)) * scale_of_x) * FLOATS(of_sums);
      }
      totals[n] += (scale * scale_of_x) * FLOATS(whole[n]);
    }
  }
}

enum { TOGETHER = 16 /* Rows of the matrix that stay in the cache for all rows of x. */ };

INLINE void rounded_rows(const int kind, const int rows, const uint8_t *blocks, ptrdiff_t row_bytes, const piece *x,
                         ptrdiff_t apart, ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start,
                         ptrdiff_t stop) {
  for (ptrdiff_t row = start; row < stop; row++) {
    floats totals[4];
    for (int n = 0; n < rows; n++) totals[n] = same(0);
    if (is_large(kind))
      large_rows(kind, rows, blocks + row * row_bytes, x, apart, width, totals);
    else
      small_rows(kind, rows, blocks + row * row_bytes, x, apart, width, totals);
    for (int n = 0; n < rows; n++) out[n * out_width + row] = sum(totals[n]);
  }
}

/* x arranged times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width]. */
TARGET PUBLIC void rounded(int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const piece *x, ptrdiff_t rows,
                           ptrdiff_t width, float *out, ptrdiff_t out_width, ptrdiff_t start, ptrdiff_t stop) {
  for (ptrdiff_t first = start; first < stop; first += TOGETHER) {
    const ptrdiff_t last = stop - first < TOGETHER ? stop : first + TOGETHER;
    for (ptrdiff_t n = 0, number; n < rows; n += number) {
      number = rows - n >= 4 ? 4 : 1;
#define OF(KIND, NUMBER)                \
  if (kind == KIND && number == NUMBER) \
    rounded_rows(KIND, NUMBER, blocks, row_bytes, x + n, rows, width, out + n * out_width, out_width, first, last);
#define EACH(KIND) OF(KIND, 1) OF(KIND, 4)
      IN_32(EACH) IN_256(EACH)
#undef EACH
#undef OF
    }
  }
}
