/* Every kind with random bytes in arrays that end where they are said to, for the sanitizers to watch. */
#include <math.h>
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

/* A token after `before` others, everything in arrays as large as one_token.py makes them. */
static void one_token(int kind, int digits, ptrdiff_t before, ptrdiff_t heads, ptrdiff_t keys, ptrdiff_t of_head) {
  const ptrdiff_t width = 256, inner = 512, of_heads = heads * of_head, of_keys = keys * of_head, places = before + 3;
  const ptrdiff_t widest = of_heads > inner ? of_heads : inner, pairs = of_head / 2 - 1;
  const ptrdiff_t rows[] = {of_heads, of_keys, of_keys, width, inner, inner, width};
  const token_shape shape = {3, digits, before % 2, 1e-5f, 0.2f, 2, width, inner, heads, keys, of_head, pairs};
  token_layer layers[2] = {{0}};
  token_room kept[2];
  float *norm = filled((size_t)width * 4, 0), *bias = filled((size_t)(of_heads + 2 * of_keys) * 4, 0);
  float *of_queries = filled((size_t)of_head * 4, 0), *turns = filled((size_t)pairs * 4, 0);
  float *stream = filled((size_t)width * 4, 0);
  float *scratch = filled((size_t)(width + 2 * (of_heads + of_keys) + 2 * inner + 3 * (before + 8)) * 4, 0);
  uint8_t *room = filled((size_t)(3 * widest / UNIT * piece_bytes(digits)) + UNIT, 0);
  for (ptrdiff_t i = 0; i < width; i++) stream[i] = (float)(i % 5) - 2, norm[i] = 1;
  for (int index = 0; index < 2; index++) {
    token_layer *layer = layers + index;
    matrix *all[] = {layer->into, layer->into + 1, layer->into + 2, &layer->output, layer->wide, layer->wide + 1, &layer->down};
    for (int i = 0; i < 7; i++) {
      const ptrdiff_t row_bytes = bytes_of(kind, i == 3 ? of_heads : i == 6 ? inner : width);
      *all[i] = (matrix){kind, filled((size_t)(rows[i] * row_bytes), 0), row_bytes, rows[i]};
    }
    layer->attention_norm = layer->feedforward_norm = norm, layer->biases = bias;
    layer->query_norm = layer->key_norm = index ? of_queries : NULL;
    kept[index] = (token_room){filled((size_t)(keys * places * of_head) * 4, 0), filled((size_t)(keys * places * of_head) * 4, 0), places * of_head};
  }
  if (!token_through_layers(&shape, layers, kept, before, turns, turns, stream, scratch, room)) abort();
  for (int index = 0; index < 2; index++) {
    const token_layer *layer = layers + index;
    const matrix *all[] = {layer->into, layer->into + 1, layer->into + 2, &layer->output, layer->wide, layer->wide + 1, &layer->down};
    for (int i = 0; i < 7; i++) free((void *)all[i]->blocks);
    free(kept[index].key), free(kept[index].value);
  }
  free(norm), free(bias), free(of_queries), free(turns), free(stream), free(scratch), free(room);
}

/* e^x to the last place but two, of every exponent. */
TARGET static void exponentials(void) {
  for (float x = -86.9f; x < 88.f; x += 0.00371f) {
    const double exact = exp((double)x), found = exponential(same(x))[3];
    if (found < exact * (1 - 2.4e-7) || found > exact * (1 + 2.4e-7)) printf("e^%g is not %g\n", (double)x, found), abort();
  }
  const floats ends = exponential((floats){0, -88, -__builtin_inff(), 200, __builtin_inff(), __builtin_nanf(""), -1e-30f, 88});
  if (ends[0] != 1 || ends[1] != 0 || ends[2] != 0 || ends[3] != ends[7] || ends[4] != ends[7] || ends[5] == ends[5]) abort();
}

int main(void) {
  if (!usable()) return 0;
  exponentials();
  for (ptrdiff_t before = 0; before < 900; before += before < 10 ? 3 : 431)
    for (int digits = 1; digits <= 3; digits += 2)
      one_token(Q8_0, digits, before, 4, 2, 64), one_token(Q4_K, digits, before, 32, 32, 8), one_token(Q6_K, digits, before, 2, 1, 256);
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
