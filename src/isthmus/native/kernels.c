/* Dense layers and the cross-entropy, forwards and backwards, in float32.
 *
 * The functions take addresses and sizes, and check nothing: isthmus.native.library does. Matrices are row-major. Results do not depend
 * on the number of threads, and those of a row do not depend on the other rows.
 *
 * A product is computed as Goto and van de Geijn describe (2008, "Anatomy of high-performance matrix multiplication"): both factors are
 * copied into panels, MR rows or NR columns wide, which are read from first to last, and MR x NR sums stay in registers.
 *
 * VL floats are a vector of the processor, NV vectors are a row of sums. GCC and clang translate the vectors to any processor.
 */
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define VERSION 4 /* of what library.py calls */
#define NR (VL * NV)
#define KC 256           /* terms of a sum between two visits of its memory */
#define MC (MR * 160)    /* rows and */
#define NC (NR * 128)    /* columns of a part whose panels are in memory at once */
#define SMALL 200000     /* multiplications, or numbers read, for which one thread is as fast */
#define EACH(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++) /* unrolled, so that sums stay in registers */
#define CERTAIN_RUN 64   /* sigmoids, each at least 1/2, whose product is a normal number */

typedef int64_t size;
typedef float vec __attribute__((vector_size(VL * 4)));
typedef float near_vec __attribute__((vector_size(VL * 4), aligned(4))); /* at any address */
typedef int32_t ints __attribute__((vector_size(VL * 4)));
typedef float eight __attribute__((vector_size(32), aligned(4)));

static inline vec load(const float *p) { return *(const near_vec *)p; }
static inline void store(float *p, vec v) { *(near_vec *)p = v; }
static inline vec all(float x) { return x - (vec){}; } /* x + 0 would be computed, for the sign of a zero */
static inline vec where(ints mask, vec x) { return (vec)(mask & (ints)x); }
static inline size least(size a, size b) { return a < b ? a : b; }
static inline size parts(size n, size part) { return (n + part - 1) / part; }

int isthmus_kernels_version(void) { return VERSION; }

/* Products */

/* Numbers q to q + 7 of eight lines, of which `count` are there (the last takes the place of others), to to[q * wide] and the seven rows
   behind it, eight to each: where wide < 8, the next row overwrites what is too much. */
static inline __attribute__((always_inline)) void transpose(float *to, size wide, const float *from, size line, int count) {
  eight r[8], t[8], u[8];
  EACH(j, 8) r[j] = *(const eight *)(from + (j < count ? j : count - 1) * line);
  EACH(h, 4) {
    t[2 * h] = __builtin_shufflevector(r[2 * h], r[2 * h + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[2 * h + 1] = __builtin_shufflevector(r[2 * h], r[2 * h + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  EACH(h, 4) {
    int j = h / 2 * 4 + h % 2, i = h / 2 * 4 + h % 2 * 2;
    u[i] = __builtin_shufflevector(t[j], t[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 1] = __builtin_shufflevector(t[j], t[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  EACH(j, 4) *(eight *)(to + j * wide) = __builtin_shufflevector(u[j], u[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
  EACH(j, 4) *(eight *)(to + (j + 4) * wide) = __builtin_shufflevector(u[j], u[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
}

/* Copies `count` <= wide lines of k numbers, where number q of line i is from[i * line + q * step], to to[q * wide + i]. Behind them is
   anything: nobody reads the sums. One of line and step is 1. */
static inline __attribute__((always_inline)) void pack(float *restrict to, const float *restrict from, size line, size step, int wide,
                                                       int count, size k) {
  if (line == 1) {
    size q = 0;
    if (count == wide)
      for (; q < k - 1; q++) /* eight at a time: the next row overwrites what is too much, and the last row has no next one */
        EACH(i, (wide + 7) / 8) *(eight *)(to + q * wide + 8 * i) = *(const eight *)(from + q * step + 8 * i);
    for (; q < k; q++)
      for (int i = 0; i < wide; i++) to[q * wide + i] = i < count ? from[q * step + i] : 0;
    return;
  }
  size whole = wide % 8 ? (k - 1) / 8 * 8 : k / 8 * 8; /* rows that go eight at a time */
  for (int i = (wide - 1) / 8 * 8; i >= 0; i -= 8) { /* the last lines first, since they write too much */
    int there = count - i;
    if (there > 0)
      for (size q = 0; q < whole; q += 8) transpose(to + q * wide + i, wide, from + i * line + q, line, there < 8 ? there : 8);
    else
      for (size q = 0; q < whole; q++)
        for (int j = i; j < wide && j < i + 8; j++) to[q * wide + j] = 0;
  }
  for (size q = whole; q < k; q++)
    for (int j = 0; j < wide; j++) to[q * wide + j] = j < count ? from[j * line + q] : 0;
}

/* sums += a b, with a panel a of MR rows and a panel b of NR columns. */
static inline __attribute__((always_inline)) void multiply(size k, const float *restrict a, const float *restrict b, vec sums[MR][NV]) {
  for (size q = 0; q < k; q++, a += MR, b += NR) {
    vec row[NV];
    EACH(j, NV) row[j] = *(const vec *)(b + j * VL);
    EACH(i, MR)
      EACH(j, NV) sums[i][j] += all(a[i]) * row[j];
  }
}

typedef struct {
  size m, n, k;                    /* c is m x n, and k numbers are summed up */
  const float *a;                  /* m x k: a[i * a_row + q * a_column] */
  size a_row, a_column;
  const float *b;                  /* k x n */
  size b_row, b_column;
  float *c;
  const float *bias;               /* n, or NULL: is added to every row */
  const float *mask;               /* m x n, or NULL: c is 0 where it is at most 0; as everywhere, NaN stays */
  int rectified;                   /* c is 0 where it would be below */
} product;

/* The sums of one tile begin with what is in c, or as the bias. */
static inline __attribute__((always_inline)) void begin(vec sums[MR][NV], const float *c, size row, const float *bias) {
  EACH(i, MR)
    EACH(j, NV) sums[i][j] = c ? load(c + i * row + j * VL) : bias ? load(bias + j * VL) : (vec){};
}

/* One tile of c, of which `rows` x `columns` numbers are there. */
static inline __attribute__((always_inline)) void tile(const product *p, const float *a, const float *b, size k, size i, size j, int first,
                                                       int last) {
  int rows = least(p->m - i, MR), columns = least(p->n - j, NR), whole = rows == MR && columns == NR;
  float edge[MR * NR] __attribute__((aligned(64))), bias[NR] __attribute__((aligned(64)));
  float *c = p->c + i * p->n + j, *to = whole ? c : edge;
  size row = whole ? p->n : NR;
  const float *added = p->bias ? p->bias + j : NULL;
  vec sums[MR][NV];
  if (!whole) {
    for (int r = 0; r < MR; r++)
      for (int s = 0; s < NR; s++) edge[r * NR + s] = !first && r < rows && s < columns ? c[r * p->n + s] : 0;
    if (added) {
      for (int s = 0; s < NR; s++) bias[s] = s < columns ? added[s] : 0;
      added = bias;
    }
  }
  begin(sums, first ? NULL : to, row, added);
  multiply(k, a, b, sums);
  if (last && p->rectified)
    EACH(r, MR)
      EACH(s, NV) sums[r][s] = where(~(sums[r][s] < (vec){}), sums[r][s]);
  if (whole && last && p->mask)
    EACH(r, MR)
      EACH(s, NV) sums[r][s] = where(~(load(p->mask + (i + r) * p->n + j + s * VL) <= (vec){}), sums[r][s]);
  EACH(r, MR)
    EACH(s, NV) store(to + r * row + s * VL, sums[r][s]);
  if (whole) return;
  for (int r = 0; r < rows; r++)
    for (int s = 0; s < columns; s++) {
      int kept = !last || !p->mask || !(p->mask[(i + r) * p->n + j + s] <= 0);
      c[r * p->n + s] = kept ? edge[r * NR + s] : 0;
    }
}

static _Thread_local float *panels;
static _Thread_local size panels_length;
static pthread_key_t panels_key;
static pthread_once_t panels_once = PTHREAD_ONCE_INIT;

static void free_panels_at_exits(void) { pthread_key_create(&panels_key, free); }

/* Memory for panels, which stays with the thread to its end. Products need at most some 20 MB. NULL: there is none. */
static float *memory_for(size numbers) {
  if (numbers > panels_length) {
    free(panels);
    panels = aligned_alloc(64, parts(numbers * 4, 4096) * 4096);
    panels_length = panels ? numbers : 0;
    pthread_once(&panels_once, free_panels_at_exits);
    pthread_setspecific(panels_key, panels);
  }
  return panels;
}

/* The first of `count` pieces that thread t of T has. */
static inline size share(size count, int t, int T) { return count * t / T; }

/* How many of T threads share the rows of a part; the others share the columns. */
static int row_threads(size rows, size columns, int T) {
  int best = 1;
  size least_tiles = INT64_MAX;
  for (int r = 1; r <= T; r++)
    if (T % r == 0) {
      size tiles = parts(rows, r) * parts(columns, T / r);
      if (tiles < least_tiles) least_tiles = tiles, best = r;
    }
  return best;
}

/* What thread t of T computes of a part whose panels are a and b. */
static void multiply_panels(const product *p, const float *a, const float *b, size i0, size j0, size k0, size m, size n, size k, int t, int T) {
  size rows = parts(m, MR), columns = parts(n, NR);
  int of_rows = row_threads(rows, columns, T), of_columns = T / of_rows, r = t % of_rows, c = t / of_rows;
  for (size j = share(columns, c, of_columns); j < share(columns, c + 1, of_columns); j++)
    for (size i = share(rows, r, of_rows); i < share(rows, r + 1, of_rows); i++)
      tile(p, a + i * MR * k, b + j * NR * k, k, i0 + i * MR, j0 + j * NR, k0 == 0, k0 + k == p->k);
}

static void pack_rows(const product *p, float *a, size i0, size k0, size m, size k, int t, int T) {
  size rows = parts(m, MR);
  for (size i = share(rows, t, T); i < share(rows, t + 1, T); i++)
    pack(a + i * MR * k, p->a + (i0 + i * MR) * p->a_row + k0 * p->a_column, p->a_row, p->a_column, MR, least(m - i * MR, MR), k);
}

static void pack_columns(const product *p, float *b, size j0, size k0, size n, size k, int t, int T) {
  size columns = parts(n, NR);
  for (size j = share(columns, t, T); j < share(columns, t + 1, T); j++)
    pack(b + j * NR * k, p->b + k0 * p->b_row + (j0 + j * NR) * p->b_column, p->b_column, p->b_row, NR, least(n - j * NR, NR), k);
}

/* c = a b, perhaps with a bias, rectified or masked. Returns 0, or 1 without memory. */
static int compute(const product *p, int threads) {
  size longest = least(p->k, KC + KC / 2), length = parts(least(p->n, NC), NR) * NR * longest;
  float *b = memory_for(length + parts(least(p->m, MC), MR) * MR * longest), *a = b + length;
  if (!b) return 1;
#pragma omp parallel num_threads(p->m * p->n * p->k > SMALL ? threads : 1)
  {
    int t = 0, T = 1;
#ifdef _OPENMP
    t = omp_get_thread_num(), T = omp_get_num_threads();
#endif
    for (size k0 = 0, k; k0 < p->k; k0 += k) {
      k = p->k - k0 <= KC + KC / 2 ? p->k - k0 : KC;
      for (size j0 = 0; j0 < p->n; j0 += NC)
        for (size i0 = 0; i0 < p->m; i0 += MC) {
          size m = least(p->m - i0, MC), n = least(p->n - j0, NC);
          if (i0 == 0) pack_columns(p, b, j0, k0, n, k, t, T);
          pack_rows(p, a, i0, k0, m, k, t, T);
#pragma omp barrier
          multiply_panels(p, a, b, i0, j0, k0, m, n, k, t, T);
#pragma omp barrier
        }
    }
  }
  return 0;
}

/* out = the sums of the columns of y (rows x n). */
static void sum_columns(size rows, size n, const float *restrict y, float *restrict out, int threads) {
  size wide = 4 * VL;
#pragma omp parallel for schedule(static) num_threads(rows * n > SMALL / 8 ? threads : 1)
  for (size j = 0; j < n; j += wide) {
    if (n - j >= wide) {
      vec sums[4] = {};
      for (size r = 0; r < rows; r++)
        for (int q = 0; q < 4; q++) sums[q] += load(y + r * n + j + q * VL);
      for (int q = 0; q < 4; q++) store(out + j + q * VL, sums[q]);
    } else
      for (size s = j; s < n; s++) {
        float sum = 0;
        for (size r = 0; r < rows; r++) sum += y[r * n + s];
        out[s] = sum;
      }
  }
}

/* Layers of a net, from sizes[0] numbers to sizes[count]: outputs[i] = outputs[i - 1] weights[i]' + biases[i], where outputs[-1] is x;
   all but the last are rectified if `rectified`. Returns 0, or 1 without memory. */
int isthmus_forward(size rows, int count, const size *sizes, const float *const *weights, const float *const *biases, int rectified,
                    const float *x, float *const *outputs, int threads) {
  for (int i = 0; i < count; i++, x = outputs[i - 1]) {
    size k = sizes[i], n = sizes[i + 1];
    product p = {rows, n, k, x, k, 1, weights[i], 1, k, outputs[i], biases[i], NULL, rectified && i < count - 1};
    if (compute(&p, threads)) return 1;
  }
  return 0;
}

/* The slopes of a loss that has the slope slopes[count - 1] by the last output: by the other outputs, by weights and biases, and by x if
   x_slope is not NULL. Returns 0, or 1 without memory. */
int isthmus_backward(size rows, int count, const size *sizes, const float *const *weights, int rectified, const float *x,
                     const float *const *outputs, float *const *slopes, float *const *weight_slopes, float *const *bias_slopes,
                     float *x_slope, int threads) {
  for (int i = count - 1; i >= 0; i--) {
    size k = sizes[i], n = sizes[i + 1];
    product of_weights = {n, k, rows, slopes[i], 1, n, i ? outputs[i - 1] : x, k, 1, weight_slopes[i], NULL, NULL, 0};
    if (compute(&of_weights, threads)) return 1;
    sum_columns(rows, n, slopes[i], bias_slopes[i], threads);
    float *before = i ? slopes[i - 1] : x_slope;
    if (!before) continue;
    product of_inputs = {rows, k, n, slopes[i], n, 1, weights[i], k, 1, before, NULL, i && rectified ? outputs[i - 1] : NULL, 0};
    if (compute(&of_inputs, threads)) return 1;
  }
  return 0;
}

/* The cross-entropy */

/* exp(x) for x <= 0, to two units in the last place; 0 below -87, where it is almost the smallest normal number, and for NaN. */
static inline vec exponential(vec given) {
  ints there = given > all(-87);
  vec x = where(there, given) + where(~there, all(-87));
  vec shifted = x * 1.44269504f + 12582912.0f, whole = shifted - 12582912.0f; /* 1.5 * 2**23: the sum has no digits behind the point */
  vec rest = x - whole * 0.693359375f + whole * 2.12194440e-4f; /* log(2) in two parts */
  vec sum = rest * (1.0f / 5040) + 1.0f / 720;
  sum = sum * rest + 1.0f / 120;
  sum = sum * rest + 1.0f / 24;
  sum = sum * rest + 1.0f / 6;
  sum = sum * rest + 0.5f;
  sum = sum * rest * rest + rest + 1.0f;
  return where(there, (vec)((ints)sum + ((ints)shifted << 23)));
}

/* Of VL logits y and targets x: the cross-entropy but for the logarithm, whose argument is multiplied to `product`; and `factor` times the
   slope. */
static inline vec entropies(vec y, vec x, vec factor, vec *product, vec *slope) {
  ints negative = y < (vec){};
  vec small = exponential((vec)((ints)y | INT32_MIN)), large = 1.0f / (1.0f + small); /* sigmoid(abs(y)) */
  *product *= large;
  *slope = (where(~negative, large) + where(negative, small * large) - x + where(y != y, y)) * factor; /* NaN stays */
  return where(~negative, y) - x * y;
}

/* The cross-entropy of logits y and targets x (rows x n), summed over each row, and `factor` times its slope by y. */
void isthmus_cross_entropy(size rows, size n, const float *y, const float *x, float factor, float *slope, float *nll, int threads) {
#pragma omp parallel for schedule(static) num_threads(rows * n > SMALL / 32 ? threads : 1)
  for (size r = 0; r < rows; r++) {
    const float *yr = y + r * n, *xr = x + r * n;
    float *sr = slope + r * n, sum = 0;
    vec total = {}, product = all(1);
    size j = 0;
    for (int run = 0; j + VL <= n; j += VL) {
      vec found;
      total += entropies(load(yr + j), load(xr + j), all(factor), &product, &found);
      store(sr + j, found);
      if (++run == CERTAIN_RUN) {
        for (int i = 0; i < VL; i++) sum -= logf(product[i]);
        product = all(1), run = 0;
      }
    }
    if (j < n) { /* the rest, with logits and targets of no cross-entropy behind it */
      float rest[3][VL];
      for (int i = 0; i < VL; i++) rest[0][i] = j + i < n ? yr[j + i] : 200, rest[1][i] = j + i < n ? xr[j + i] : 1;
      vec found;
      total += entropies(load(rest[0]), load(rest[1]), all(factor), &product, &found);
      store(rest[2], found);
      for (int i = 0; i < VL; i++)
        if (j + i < n) sr[j + i] = rest[2][i];
    }
    for (int i = 0; i < VL; i++) sum += total[i] - logf(product[i]);
    nll[r] = sum;
  }
}

/* Each row of slope (rows x n) times its number of `factors`, to `to`. */
void isthmus_scale_rows(size rows, size n, const float *slope, const float *factors, float *to, int threads) {
#pragma omp parallel for schedule(static) num_threads(rows * n > SMALL / 8 ? threads : 1)
  for (size r = 0; r < rows; r++)
    for (size j = 0; j < n; j++) to[r * n + j] = slope[r * n + j] * factors[r];
}

/* The negative logarithm of normal densities of x around y (rows x n) with one deviation for all, summed over each row, and `factor` times
   its slope by y. The logarithm of the deviation is log_scale[0]; with sums of squares and of their numbers, it is first that of their
   quotient, a running mean of which `kept` stays, and at least `least`. */
void isthmus_normal(size rows, size n, const float *y, const float *x, float factor, float *log_scale, float *squares, float *count,
                    float kept, float least, float *slope, float *nll, int threads) {
  int team = rows * n > SMALL / 8 ? threads : 1;
#pragma omp parallel for schedule(static) num_threads(team)
  for (size r = 0; r < rows; r++) {
    const float *yr = y + r * n, *xr = x + r * n;
    vec sums = {};
    size j = 0;
    for (; j + VL <= n; j += VL) {
      vec error = load(xr + j) - load(yr + j);
      sums += error * error;
    }
    float sum = 0;
    for (; j < n; j++) sum += (xr[j] - yr[j]) * (xr[j] - yr[j]);
    for (int i = 0; i < VL; i++) sum += sums[i];
    nll[r] = sum;
  }
  if (squares) {
    double total = 0;
    for (size r = 0; r < rows; r++) total += nll[r];
    *squares = kept * *squares + (float)total;
    *count = kept * *count + (float)(rows * n);
    float mean = *squares / *count, lowest = least * least;
    *log_scale = 0.5f * logf(mean < lowest ? lowest : mean);
  }
  float log_of = *log_scale < logf(least) ? logf(least) : *log_scale, precision = expf(-2 * log_of);
  float constant = n * (log_of + 0.918938533f); /* half the logarithm of 2 pi */
#pragma omp parallel for schedule(static) num_threads(team)
  for (size r = 0; r < rows; r++) {
    for (size j = r * n; j < (r + 1) * n; j++) slope[j] = factor * precision * (y[j] - x[j]);
    nll[r] = 0.5f * precision * nll[r] + constant;
  }
}

#include "convolutions.h"

/* Normal codes */

/* Codes z (rows x n) = mean + deviation * noise, the deviations, and the divergence of each row from N(0, 1). A row of h has n means and n
   logarithms of variances. */
void isthmus_normal_codes(size rows, size n, const float *h, const float *noise, float *z, float *deviation, float *divergence,
                          int threads) {
#pragma omp parallel for schedule(static) num_threads(rows * n > SMALL / 64 ? threads : 1)
  for (size r = 0; r < rows; r++) {
    const float *mean = h + r * 2 * n, *log_variance = mean + n;
    float sum = 0;
    for (size j = 0; j < n; j++) {
      float d = expf(0.5f * log_variance[j]);
      deviation[r * n + j] = d;
      z[r * n + j] = mean[j] + d * noise[r * n + j];
      sum += mean[j] * mean[j] + d * d - log_variance[j] - 1;
    }
    divergence[r] = 0.5f * sum;
  }
}

/* The slope by h of a loss that has the slope z_slope by the codes, and that contains `factor` times each divergence. */
void isthmus_normal_slopes(size rows, size n, const float *h, const float *noise, const float *deviation, const float *z_slope,
                           float factor, float *h_slope, int threads) {
#pragma omp parallel for schedule(static) num_threads(rows * n > SMALL / 8 ? threads : 1)
  for (size r = 0; r < rows; r++) {
    float *mean = h_slope + r * 2 * n, *log_variance = mean + n;
    for (size j = 0; j < n; j++) {
      float s = z_slope[r * n + j], d = deviation[r * n + j];
      mean[j] = s + factor * h[r * 2 * n + j];
      log_variance[j] = 0.5f * (s * noise[r * n + j] * d + factor * (d * d - 1));
    }
  }
}

/* The optimizer */

/* A step of Adam with decoupled weight decay on `count` tensors of lengths[i] weights. Each has a number of steps, which this one raises.
   Without means it is RMSprop: the slope takes their place, and nothing is corrected. Squares are at least `least`, since roots of smaller
   numbers are slow. */
void isthmus_adam(int count, const size *lengths, float *const *weights, const float *const *slopes, float *const *means,
                  float *const *squares, float *const *steps, double rate, double mean_share, double square_share, double eps, double decay,
                  double least, int threads) {
  size total = 0;
  for (int i = 0; i < count; i++) total += lengths[i];
#pragma omp parallel num_threads(total > SMALL / 8 ? threads : 1)
  {
    int t = 0, T = 1;
#ifdef _OPENMP
    t = omp_get_thread_num(), T = omp_get_num_threads();
#endif
    for (int i = 0; i < count; i++) {
      double step = (double)*steps[i] + 1;
      float size_of_step = means ? rate / (1 - pow(mean_share, step)) : rate, kept = 1 - rate * decay;
      float unbiased = means ? 1 / sqrt(1 - pow(square_share, step)) : 1;
      float m = mean_share, s = square_share, one_less_m = 1 - mean_share, one_less_s = 1 - square_share, e = eps, low = least;
      float *restrict w = weights[i], *restrict square = squares[i], *restrict mean = means ? means[i] : NULL;
      const float *restrict slope = slopes[i];
      size begin = share(lengths[i], t, T), end = share(lengths[i], t + 1, T);
      if (mean)
        for (size j = begin; j < end; j++) {
          mean[j] = m * mean[j] + one_less_m * slope[j];
          float found = s * square[j] + one_less_s * slope[j] * slope[j];
          square[j] = found;
          w[j] = kept * w[j] - size_of_step * mean[j] / (sqrtf(found) * unbiased + e);
        }
      else
        for (size j = begin; j < end; j++) {
          float found = s * square[j] + one_less_s * slope[j] * slope[j];
          square[j] = found = found < low ? low : found;
          w[j] = kept * w[j] - size_of_step * slope[j] / (sqrtf(found) + e);
        }
    }
#pragma omp barrier
#pragma omp single
    for (int i = 0; i < count; i++) *steps[i] += 1;
  }
}
