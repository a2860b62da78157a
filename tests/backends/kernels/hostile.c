/* Every kind with random bytes in arrays that end where they are said to, for the sanitizers to watch. */
#include <stdio.h>
#include <stdlib.h>

#include "products.c"

static void *filled(size_t number, int random) {
  unsigned char *at = malloc(number ? number : 1);
  for (size_t i = 0; i < number; i++) at[i] = random ? (unsigned char)rand() : 0;
  return at;
}

static void tried(int kind, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t number) {
  const ptrdiff_t row_bytes = bytes_of(kind, width), across = number <= 8 ? 8 : 16, columns = units(width) * UNIT;
  const ptrdiff_t padded = (number + across - 1) / across * across;
  uint8_t *blocks = filled((size_t)(rows * row_bytes), 1);
  float *x = filled((size_t)(number * width) * 4, 0), *out = filled((size_t)(number * rows) * 4, 0);
  float *arranged = filled((size_t)(number * units(width) * ARRANGED) * 4, 0), *packed = filled((size_t)(padded * columns) * 4, 0);
  float *scratch = filled((size_t)(2 * TALL * (DEEP + padded)) * 4, 0);
  for (ptrdiff_t i = 0; i < number * width; i++) x[i] = (float)(i % 7) - 3;
  arrange(kind, x, number, width, arranged);
  few(kind, blocks, row_bytes, arranged, number, width, out, rows, 0, rows);
  pack(kind, x, number, width, across, packed);
  many(kind, blocks, row_bytes, packed, number, width, across, out, rows, rows / 3, rows, scratch);
  multiply(2, SOME, 0, kind, blocks, row_bytes, arranged, number, width, out, rows, scratch);
  multiply(2, MANY, (int)across, kind, blocks, row_bytes, packed, number, width, out, rows, scratch);
  if (!plain(kind) && width % UNIT == 0) {
    for (int digits = 1; digits <= 3; digits += 2) {
      uint8_t *written = filled((size_t)(number * width / UNIT * piece_bytes(digits)), 0);
      write_pieces(digits, kind, x, number, width, written);
      whole(digits, kind, blocks, row_bytes, written, number, width, out, rows, rows / 3, rows);
      multiply(2, WHOLE, digits, kind, blocks, row_bytes, written, number, width, out, rows, scratch);
      uint8_t *room = filled((size_t)(3 * width / UNIT * piece_bytes(digits)) + UNIT, 0);
      float *in_turn = filled((size_t)(3 * rows) * 4, 0);
      {
        const matrix its = {kind, blocks, row_bytes, rows}, of[] = {its, its, its};
        for (int matrices = 1; matrices <= 3; matrices += 2)
          if (!multiply_row_by_each(2, digits, matrices, of, x, width, in_turn, room)) abort();
      }
      free(written), free(room), free(in_turn);
    }
  }
  free(blocks), free(x), free(out), free(arranged), free(packed), free(scratch);
}

int main(void) {
  if (!usable()) return 0;
  const int kinds[] = {
#define NAMED(KIND) KIND,
      KINDS(NAMED)};
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
    const int weights = block_weights(kinds[kind]), wide[] = {weights == 256 ? 3 : weights == 32 ? 18 : 583, weights == 1 ? 67 : 1};
    for (ptrdiff_t number = 1; number < 20; number += number < 6 ? 1 : 5)
      for (ptrdiff_t rows = 1; rows < 60; rows += 23) tried(kinds[kind], rows, wide[rows % 2] * weights, number);
  }
  puts("all right");
  return 0;
}
