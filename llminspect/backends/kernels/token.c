/* One token through all layers of a decoder, in one call, after those whose keys and values are kept: a part of products.c,
   which includes this file.

   Each step is that of the core (core/norm.py, core/rotary.py, core/attention.py, core/feedforward.py), which is the
   oracle of the tests: a norm by the root of the mean square, queries, keys and values (with a bias, and normed, if so),
   turned by position, attention, a gated step with x / (1 + e^-x). Step by step, numpy and Python take half of the time of a
   small model's token (docs/decisions.md). */

typedef struct {
  const float *attention_norm, *feedforward_norm;
  const float *biases, *query_norm, *key_norm; /* Of queries, keys and values together; each may be NULL. */
  const int32_t *order;                        /* Where each of their products lies; NULL where they are in order. */
  matrix into[3], output, wide[2], down;       /* Queries, keys and values; gate and up. */
} token_layer;

typedef struct {
  int threads, digits, interleaved; /* Interleaved: numbers 2i and 2i + 1 of a head are turned together. */
  float epsilon, scale;
  ptrdiff_t layers, width, inner, heads, keys, of_head, pairs;
} token_shape;

/* Where a layer keeps the keys and values of each head; from one head's to the next's, in numbers. */
typedef struct {
  float *key, *value;
  ptrdiff_t apart;
} token_room;

enum { WORTH_A_THREAD = 100000 }; /* Multiplications, of a thread that is awake. */

/* e^x, within 2 units of the last place (Cephes, `expf`); 0 below what float32 holds without loss, and never infinite. */
INLINE floats exponential(floats x) {
  const ints tiny = x < same(-87.f);
  x = (floats)(((ints)x & ~tiny) | ((ints)same(-87.f) & tiny));
  const ints huge = x > same(88.f);
  x = (floats)(((ints)x & ~huge) | ((ints)same(88.f) & huge));
  const floats whole = (x * 1.44269504f + 0x1.8p23f) - 0x1.8p23f, rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  floats y = same(1.9875691500e-4f);
  y = y * rest + 1.3981999507e-3f, y = y * rest + 8.3334519073e-3f, y = y * rest + 4.1665795894e-2f;
  y = y * rest + 1.6666665459e-1f, y = y * rest + 5.0000001201e-1f, y = y * rest * rest + rest + 1.f;
  const ints power = (__builtin_convertvector(whole, ints) + 127) << 23;
  return (floats)((ints)(y * (floats)power) & ~tiny);
}

INLINE void store(float *to, floats v) { memcpy(to, &v, sizeof v); }

INLINE void normed(const float *x, const float *weight, ptrdiff_t width, float epsilon, float *out) {
  floats total = same(0);
  for (ptrdiff_t i = 0; i < width; i += 8) total += load(x + i) * load(x + i);
  const floats by = same(__builtin_sqrtf(sum(total) / (float)width + epsilon));
  for (ptrdiff_t i = 0; i < width; i += 8) store(out + i, load(x + i) / by * load(weight + i));
}

/* A head's numbers, turned by position; those after the pairs stay as they are. */
INLINE void turned(const token_shape *s, const float *cosines, const float *sines, float *head) {
  const ptrdiff_t step = s->interleaved ? 2 : 1, apart = s->interleaved ? 1 : s->pairs;
  for (ptrdiff_t i = 0; i < s->pairs; i++) {
    float *first = head + i * step, *second = first + apart;
    const float a = *first, b = *second;
    *first = a * cosines[i] - b * sines[i], *second = b * cosines[i] + a * sines[i];
  }
}

typedef struct {
  const token_shape *shape;
  const token_room *kept;
  const float *query;
  ptrdiff_t seen;
  float *mixed, *scores; /* Scores: of each thread those of one head, filled up to whole vectors. */
} attention_job;

/* What the heads that share some keys take from all tokens so far. */
TARGET static void part_of_heads(const void *job, int thread, ptrdiff_t start, ptrdiff_t stop) {
  const attention_job *a = job;
  const ptrdiff_t wide = a->shape->of_head, group = a->shape->heads / a->shape->keys, filled = (a->seen + 7) / 8 * 8;
  float *scores = a->scores + thread * filled;
  for (ptrdiff_t head = start * group; head < stop * group; head++) {
    const float *key = a->kept->key + head / group * a->kept->apart, *query = a->query + head * wide;
    const float *value = a->kept->value + head / group * a->kept->apart;
    float most = -__builtin_inff(), *mixed = a->mixed + head * wide;
    for (ptrdiff_t t = 0; t < a->seen; t++, key += wide) {
      floats total = same(0);
      for (ptrdiff_t i = 0; i < wide; i += 8) total += load(query + i) * load(key + i);
      scores[t] = sum(total) * a->shape->scale, most = scores[t] > most ? scores[t] : most;
    }
    for (ptrdiff_t t = a->seen; t < filled; t++) scores[t] = -__builtin_inff();
    floats all = same(0);
    for (ptrdiff_t t = 0; t < filled; t += 8) {
      const floats weights = exponential(load(scores + t) - most);
      store(scores + t, weights), all += weights;
    }
    const float divisor = sum(all);
    memset(mixed, 0, (size_t)wide * sizeof *mixed);
    for (ptrdiff_t t = 0; t < a->seen; t++, value += wide)
      for (ptrdiff_t i = 0; i < wide; i += 8) store(mixed + i, load(mixed + i) + same(scores[t] / divisor) * load(value + i));
  }
}

/* Queries, keys and values of the token, one after the other: with their biases, normed, turned; keys and values into
   their places, after those of `before` tokens. */
TARGET static void into_places(const token_shape *s, const token_layer *layer, const token_room *kept, ptrdiff_t before,
                               const float *cosines, const float *sines, float *made) {
  const ptrdiff_t wide = s->of_head, turning = s->heads + s->keys, all = (turning + s->keys) * wide;
  for (ptrdiff_t i = 0; layer->biases && i < all; i += 8) store(made + i, load(made + i) + load(layer->biases + i));
  for (ptrdiff_t head = 0; head < turning; head++) {
    const float *weight = head < s->heads ? layer->query_norm : layer->key_norm;
    if (weight) normed(made + head * wide, weight, wide, s->epsilon, made + head * wide);
    turned(s, cosines, sines, made + head * wide);
  }
  for (ptrdiff_t head = 0; head < s->keys; head++) {
    const ptrdiff_t to = head * kept->apart + before * wide;
    memcpy(kept->key + to, made + (s->heads + head) * wide, (size_t)wide * sizeof *made);
    memcpy(kept->value + to, made + (turning + head) * wide, (size_t)wide * sizeof *made);
  }
}

TARGET static void added(float *x, const float *more, ptrdiff_t width) {
  for (ptrdiff_t i = 0; i < width; i += 8) store(x + i, load(x + i) + load(more + i));
}

/* gate / (1 + e^-gate) · up, over gate. */
TARGET static void opened(float *gate, const float *up, ptrdiff_t inner) {
  for (ptrdiff_t i = 0; i < inner; i += 8)
    store(gate + i, load(gate + i) / (1.f + exponential(-load(gate + i))) * load(up + i));
}

TARGET static void normed_row(const float *x, const float *weight, const token_shape *s, float *out) {
  normed(x, weight, s->width, s->epsilon, out);
}

/* `stream` [width] through the layers, in place; each layer's keys and values go into `kept`, after those of `before`
   tokens. `room`: for pieces, as of `multiply_row_by_each`. `scratch`: of floats, as many as one_token.py counts. Whether x
   had digits that are near enough at each product; if not `stream` is of no use. */
PUBLIC int token_through_layers(const token_shape *s, const token_layer *layers, const token_room *kept, ptrdiff_t before,
                                const float *cosines, const float *sines, float *stream, float *scratch, uint8_t *room) {
  const ptrdiff_t of_heads = s->heads * s->of_head, made_numbers = of_heads + 2 * s->keys * s->of_head;
  float *read = scratch, *made = read + s->width, *mixed = made + made_numbers, *wide = mixed + of_heads;
  float *scores = wide + (2 * s->inner > made_numbers ? 2 * s->inner : made_numbers);
  const int for_heads = 2 * (before + 1) * of_heads >= WORTH_A_THREAD ? s->threads : 1;
  for (ptrdiff_t index = 0; index < s->layers; index++) {
    const token_layer *layer = layers + index;
#define TIMES(NUMBER, OF, X, WIDTH, OUT) \
  if (!row_by_each(s->threads, WORTH_A_THREAD, s->digits, NUMBER, OF, X, WIDTH, OUT, room)) return 0
    normed_row(stream, layer->attention_norm, s, read);
    TIMES(3, layer->into, read, s->width, layer->order ? wide : made);
    for (ptrdiff_t i = 0; layer->order && i < made_numbers; i++) made[i] = wide[layer->order[i]];
    into_places(s, layer, kept + index, before, cosines, sines, made);
    const attention_job job = {s, kept + index, made, before + 1, mixed, scores};
    in_threads(for_heads, part_of_heads, &job, s->keys, 1);
    TIMES(1, &layer->output, mixed, of_heads, read);
    added(stream, read, s->width);
    normed_row(stream, layer->feedforward_norm, s, read);
    TIMES(2, layer->wide, read, s->width, wide);
    opened(wide, wide + s->inner, s->inner);
    TIMES(1, &layer->down, wide, s->inner, read);
    added(stream, read, s->width);
#undef TIMES
  }
  return 1;
}
