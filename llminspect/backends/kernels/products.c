/* y = x Wᵀ for a matrix W as its file quantizes it: exact weights, float32 arithmetic, nothing kept in between.

   Work goes in units of 64 weights of a row. The codes of a unit become 8 vectors of 8 whole numbers as float32, not in
   their order: x is brought into the order in which they come out (`place`). A code that lies 4k or 8k bits up in a word
   stays there, so that its number is 16^k or 256^k times too large, and x, or the scale, is made that much smaller: a
   power of two loses no bit. Each weight is code · scale + more; `more` is multiplied with the sum of x.

   Three ways: one row of x as whole numbers (whole.c); `few` rows, with the weights only ever in registers; and `many`,
   with the weights of some rows and columns as float32, each used for all of x (Goto and van de Geijn 2008, "Anatomy of
   High-Performance Matrix Multiplication"). The layouts are those of ggml's blocks; files/quant_types.py says what they
   are and is the oracle of the tests. Vectors are GCC's and Clang's; where the compiler finds no instruction of its own,
   one is named for x86. */
#include "blocks.h"
#include "threads.h"

enum {
  ARRANGED = 80, /* Numbers of x for a unit: 64 in its order, and twice 8 sums for what is added to each weight. */
  DEEP = 512,    /* Columns, and … */
  TALL = 24,     /* … rows whose weights are float32 at a time. */
  MOST_AT_ONCE = 4, /* Matrices that are multiplied with one row of x. */
};

/* In units, the last of which may not be full. */
static inline ptrdiff_t units(ptrdiff_t width) { return (width + UNIT - 1) / UNIT; }

/* -- Few rows of x ------------------------------------------------------------------------------------------------- */

/* x [rows, width] to [units][rows][ARRANGED]. */
PUBLIC void arrange(int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, float *out) {
  int places[UNIT];
  for (int i = 0; i < UNIT; i++) places[i] = place(kind, i / 8, i % 8);
  for (ptrdiff_t at = 0; at < width; at += UNIT)
    for (ptrdiff_t n = 0; n < rows; n++, out += ARRANGED) {
      const float *from = x + n * width + at;
      float filled[UNIT] = {0};
      if (width - at < UNIT) from = memcpy(filled, from, (size_t)(width - at) * sizeof *x);
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
  if (plain(kind)) return total + (sums[0] + sums[1]);
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
    for (ptrdiff_t at = 0; at < units(width); at++, its_x += apart) {
      take(kind, blocks + row * row_bytes, at, width, scales, least, &u);
      for (int n = 0; n < rows; n++) total[n] = of_unit(kind, &u, its_x + ARRANGED * n, total[n]);
    }
    for (int n = 0; n < rows; n++) out[n * out_width + row] = sum(total[n]);
  }
}

/* x arranged times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width]. */
TARGET static void few(int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x, ptrdiff_t rows,
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

/* x [rows, width] to [panels][columns][across], its columns in the order of the codes; the last panel, and the columns
   of the last unit, are filled up with 0. */
PUBLIC void pack(int kind, const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t across, float *out) {
  int places[UNIT];
  for (int i = 0; i < UNIT; i++) places[i] = place(kind, i / 8, i % 8);
  for (ptrdiff_t first = 0; first < rows; first += across)
    for (ptrdiff_t column = 0; column < units(width) * UNIT; column++) {
      const ptrdiff_t from = column / UNIT * UNIT + places[column % UNIT];
      for (ptrdiff_t n = first; n < first + across; n++) *out++ = n < rows && from < width ? x[n * width + from] : 0;
    }
}

INLINE void decode(const int kind, const uint8_t *row, ptrdiff_t width, ptrdiff_t start, ptrdiff_t columns, float *out) {
  float scales[8], least[8];
  unit u;
  for (ptrdiff_t at = start / UNIT; at < (start + columns) / UNIT; at++, out += UNIT) {
    take(kind, row, at, width, scales, least, &u);
    for (int k = 0; k < 8; k++) {
      floats weights = u.codes[k];
      if (!plain(kind)) weights *= u.scale[second(kind, k)] * power(kind, k);
      if (!plain(kind) && kind != Q8_0) weights += u.more[second(kind, k)];
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
  const ptrdiff_t panel = 8 * across, filled = (rows + panel - 1) / panel * panel, columns = units(width) * UNIT;
  float *weights = scratch, *products = scratch + TALL * DEEP;
  for (ptrdiff_t first = start; first < stop; first += TALL) {
    const ptrdiff_t tall = stop - first < TALL ? stop - first : TALL;
    memset(products, 0, (size_t)(TALL * filled) * sizeof *products);
    for (ptrdiff_t column = 0; column < columns; column += DEEP) {
      const ptrdiff_t deep = columns - column < DEEP ? columns - column : DEEP;
      for (ptrdiff_t row = 0; row < tall; row++)
        decode(kind, blocks + (first + row) * row_bytes, width, column, deep, weights + row * DEEP);
      for (ptrdiff_t n = 0; n < filled; n += panel)
        for (ptrdiff_t row = 0; row < tall; row += 12 / across)
          tile(across, weights + row * DEEP, x + n * columns + column * panel, deep, products + row * filled + n, filled);
    }
    for (ptrdiff_t n = 0; n < rows; n++)
      for (ptrdiff_t row = 0; row < tall; row++) out[n * out_width + first + row] = products[row * filled + n];
  }
}

/* x packed, 8 or 16 across, times rows `start` to `stop` of the matrix, to those columns of out [rows, out_width].
   `scratch`: TALL · (DEEP + rows filled up) numbers, 0 at first, of this call alone. */
TARGET static void many(int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const float *x, ptrdiff_t rows,
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

#include "whole.c"

/* -- By several threads -------------------------------------------------------------------------------------------- */

enum { SOME, MANY, WHOLE }; /* Rows of x that were arranged, packed, or written as pieces. */

typedef struct {
  int way, more, kind; /* More: how many across, or digits. */
  const uint8_t *blocks;
  ptrdiff_t row_bytes;
  const void *x;
  ptrdiff_t rows, width;
  float *out;
  ptrdiff_t out_width;
  float *scratch;
} product;

static void part(const void *job, int thread, ptrdiff_t start, ptrdiff_t stop) {
  const product *p = job;
  if (p->way == SOME) few(p->kind, p->blocks, p->row_bytes, p->x, p->rows, p->width, p->out, p->out_width, start, stop);
  if (p->way == WHOLE)
    whole(p->more, p->kind, p->blocks, p->row_bytes, p->x, p->rows, p->width, p->out, p->out_width, start, stop);
  if (p->way == MANY) {
    float *its = p->scratch + thread * TALL * (DEEP + (p->rows + p->more - 1) / p->more * p->more);
    many(p->kind, p->blocks, p->row_bytes, p->x, p->rows, p->width, p->more, p->out, p->out_width, start, stop, its);
  }
}

/* How many rows of the matrix a thread takes at a time. */
static ptrdiff_t share_of_rows(int threads, ptrdiff_t rows) {
  const ptrdiff_t parts = 8 * threads, least = 2 * TALL, step = (rows / parts + least - 1) / least * least;
  return step < least ? least : step;
}

/* x, arranged in one of the ways, times the matrix, to out [rows, out_width]; with `scratch` as of `many` for each thread. */
PUBLIC void multiply(int threads, int way, int more, int kind, const uint8_t *blocks, ptrdiff_t row_bytes, const void *x,
                     ptrdiff_t rows, ptrdiff_t width, float *out, ptrdiff_t out_width, float *scratch) {
  const product job = {way, more, kind, blocks, row_bytes, x, rows, width, out, out_width, scratch};
  in_threads(threads, part, &job, out_width, share_of_rows(threads, out_width));
}

typedef struct {
  int kind;
  const uint8_t *blocks;
  ptrdiff_t row_bytes, rows;
} matrix;

typedef struct {
  int digits, number;
  const matrix *of;
  const uint8_t *const *x; /* As pieces, for each matrix. */
  ptrdiff_t width;
  float *out;
} row_product;

/* Of the rows of all matrices, one after the other. */
static void part_of_each(const void *job, int thread, ptrdiff_t start, ptrdiff_t stop) {
  const row_product *p = job;
  float *out = p->out;
  (void)thread;
  for (int i = 0; i < p->number; i++) {
    const matrix *m = p->of + i;
    const ptrdiff_t first = start > 0 ? start : 0, last = stop < m->rows ? stop : m->rows;
    if (first < last)
      whole(p->digits, m->kind, m->blocks, m->row_bytes, p->x[i], 1, p->width, out, m->rows, first, last);
    out += m->rows, start -= m->rows, stop -= m->rows;
  }
}

/* `worth`: from how many multiplications on several threads do it. */
static int row_by_each(int threads, ptrdiff_t worth, int digits, int number, const matrix *of, const float *x,
                       ptrdiff_t width, float *out, uint8_t *room) {
  const uint8_t *its_x[MOST_AT_ONCE];
  uint8_t *pieces = room + (-(uintptr_t)room & 63);
  ptrdiff_t rows = 0;
  for (int i = 0; i < number; i++) {
    rows += of[i].rows;
    if (i && of[i].kind == of[i - 1].kind) {
      its_x[i] = its_x[i - 1];
      continue;
    }
    if (!write_pieces(digits, of[i].kind, x, 1, width, pieces) && digits > 1) return 0;
    its_x[i] = pieces, pieces += width / UNIT * piece_bytes(digits);
  }
  const row_product job = {digits, number, of, its_x, width, out};
  in_threads(rows * width >= worth ? threads : 1, part_of_each, &job, rows, share_of_rows(threads, rows));
  return 1;
}

/* One row of x, as it is, times each of at most MOST_AT_ONCE matrices, to out, one result after the other; `room` is that
   of the pieces for each and 64 bytes. Whether x is as near in so many digits as pieces.h says; if not nothing is
   multiplied. One digit is as near as it is. */
PUBLIC int multiply_row_by_each(int threads, int digits, int number, const matrix *of, const float *x, ptrdiff_t width,
                                float *out, uint8_t *room) {
  return row_by_each(threads, 0, digits, number, of, x, width, out, room);
}

#include "token.c"

/* -- As a library -------------------------------------------------------------------------------------------------- */

/* Whether this processor has the instructions. */
PUBLIC int usable(void) {
#ifdef X86
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}

/* Whether one row of x is multiplied with faster as whole numbers of three digits than as float32: measured on x86 alone. */
PUBLIC int by_digits(void) {
#ifdef X86
  return 1;
#else
  return 0;
#endif
}

/* It is opened as a library of C: no header of Python's is needed, and one file serves every Python. Windows wants the
   name of a module in what is built as one. */
PUBLIC void *PyInit__products(void) { return NULL; }
