/* Vectors of eight numbers, as GCC and Clang have them for any processor; where they find no instruction of their own,
   one is named for x86. */
#pragma once
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
#ifdef ONE_FOR_ALL /* One function for all types and numbers of rows: slower, and soon compiled. For tests. */
#define INLINE static __attribute__((noinline, noclone, unused)) TARGET
#else
#define INLINE static inline __attribute__((always_inline)) TARGET
#endif

typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));
typedef uint32_t words __attribute__((vector_size(32)));
typedef uint8_t bytes __attribute__((vector_size(32)));
typedef uint8_t half_bytes __attribute__((vector_size(16)));
typedef uint16_t eight_halves __attribute__((vector_size(16)));
typedef int8_t eight_bytes __attribute__((vector_size(8)));
typedef int16_t shorts __attribute__((vector_size(32)));
typedef double doubles __attribute__((vector_size(32)));
typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t four_ints __attribute__((vector_size(16)));

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
  uint32_t word = (uint32_t)(bits & 0x7FFF) << 13;
  float value;
  memcpy(&value, &word, sizeof word), value *= 0x1p112f, memcpy(&word, &value, sizeof word);
  word |= (uint32_t)(bits & 0x8000) << 16 | ((bits & 0x7C00) == 0x7C00) * 0x7F800000u; /* NaN and infinite stay so. */
  memcpy(&value, &word, sizeof value);
  return value;
#endif
}

INLINE floats float16s(const uint8_t *at) {
#ifdef X86
  return (floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at));
#else
  floats v;
  for (int i = 0; i < 8; i++) v[i] = float16(at + 2 * i);
  return v;
#endif
}

/* bfloat16 is the upper half of a float32. */
INLINE floats bfloat16s(const uint8_t *at) {
  eight_halves v;
  memcpy(&v, at, sizeof v);
  return (floats)(__builtin_convertvector(v, words) << 16);
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
