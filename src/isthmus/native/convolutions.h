/* Two parts of convolutional nets, forwards and backwards: the first convolution with its pooling, and the last upsampling with the
 * convolution behind it. What lies between their operations is large and never leaves the cache here. And the slopes by the weights of
 * any convolution of stride 1.
 *
 * Images are (rows, height, width, channels), weights (outputs, channels, k, k) with an odd k. The number of features is a multiple of 8.
 * Sums over examples have a fixed order, so that results do not depend on the number of threads. kernels.c includes this file.
 */
typedef float octet __attribute__((vector_size(32)));
typedef int32_t octet_ints __attribute__((vector_size(32)));
typedef uint8_t octet_bytes __attribute__((vector_size(8), aligned(1)));

#define TAPS 9 /* weights of a feature whose slopes are in registers at once */

static inline octet read8(const float *p) { return *(const eight *)p; }
static inline void write8(float *p, octet v) { *(eight *)p = v; }
static inline octet all8(float x) { return x - (octet){}; }
static inline octet where8(octet_ints mask, octet x) { return (octet)(mask & (octet_ints)x); }

/* One image with a border of zeros: p of them before, and as many behind that (h + more) x (w + more) numbers of channels have p. */
static void frame(float *restrict to, const float *restrict from, size h, size w, size c, size p, size more) {
  size line = (w + 2 * p + more) * c;
  for (size i = 0; i < h + 2 * p + more; i++) {
    size there = i >= p && i < h + p;
    for (size j = 0; j < line; j++) to[i * line + j] = 0;
    if (there) memcpy(to + i * line + p * c, from + (i - p) * w * c, w * c * sizeof(float));
  }
}

/* Weights (n, c, k, k) as (k, k, c, n), and back. */
static void features_last(float *restrict to, const float *restrict from, size n, size c, size k, int back) {
  for (size i = 0; i < n; i++)
    for (size j = 0; j < c; j++)
      for (size q = 0; q < k * k; q++) {
        size plain = (i * c + j) * k * k + q, turned = (q * c + j) * n + i;
        if (back)
          to[plain] = from[turned];
        else
          to[turned] = from[plain];
      }
}

/* The sum of partial sums (rows x n), in their order. */
static void sum_parts(size rows, size n, const float *restrict parts_of, float *restrict sum) {
  memset(sum, 0, n * sizeof(float));
  for (size r = 0; r < rows; r++)
    for (size j = 0; j < n; j++) sum[j] += parts_of[r * n + j];
}

/* The largest of the outputs of a convolution in each window of 2 x 2, rectified if wanted: x (rows, h, w, c) to y (rows, h / 2, w / 2, n),
   sides rounded up, and which of the four it is. Returns 0, or 1 without memory. */
int isthmus_pooled_convolution(size rows, size h, size w, size c, size n, size k, const float *x, const float *weights, const float *bias,
                               int rectified, float *y, uint8_t *places, int threads) {
  size p = k / 2, line = (w + 2 * p + 1) * c, whole = line * (h + 2 * p + 1), rows2 = (h + 1) / 2, columns2 = (w + 1) / 2, taps = k * k * c;
  float *turned = memory_for(taps * n + threads * whole);
  if (!turned) return 1;
  features_last(turned, weights, n, c, k, 0);
#pragma omp parallel num_threads(threads)
  {
    float *image = turned + taps * n + whole * 0;
#ifdef _OPENMP
    image += whole * omp_get_thread_num();
#endif
#pragma omp for schedule(static)
    for (size r = 0; r < rows; r++) {
      frame(image, x + r * h * w * c, h, w, c, p, 1);
      for (size i = 0; i < rows2; i++)
        for (size j = 0; j < columns2; j++)
          for (size f = 0; f < n; f += 8) {
            const float *begin = image + 2 * i * line + 2 * j * c, *to = turned + f;
            octet sums[4];
            EACH(q, 4) sums[q] = read8(bias + f);
            for (size u = 0; u < k; u++)
              for (size v = 0; v < k * c; v++, to += n) {
                octet weight = read8(to);
                EACH(q, 4) sums[q] += all8(begin[(u + q / 2) * line + v + q % 2 * c]) * weight;
              }
            octet best = sums[0];
            octet_ints place = {};
            EACH(q, 4) {
              if (q == 0 || (q % 2 && 2 * j + 1 == w) || (q / 2 && 2 * i + 1 == h)) continue;
              octet_ints better = (sums[q] > best) | (sums[q] != sums[q]);
              best = where8(better, sums[q]) + where8(~better, best);
              place = (better & q) | (~better & place);
            }
            size at = ((r * rows2 + i) * columns2 + j) * n + f;
            write8(y + at, rectified ? where8(~(best < (octet){}), best) : best);
            *(octet_bytes *)(places + at) = __builtin_convertvector(place, octet_bytes);
          }
    }
  }
  return 0;
}

/* Of one image in its frame: the slopes by `count` <= TAPS weights of eight features, from the one that is `first`, and by the biases. */
static inline __attribute__((always_inline)) void pooled_slopes(size h, size w, size n, const size *offsets, const size *shifts, int count,
                                                                const float *image, size line, size c, const float *y, const uint8_t *places,
                                                                const float *slope, int rectified, float *found, size stride, float *bias) {
  octet sums[TAPS] = {}, total = {};
  for (size i = 0; i < h; i++)
    for (size j = 0; j < w; j++) {
      size at = (i * w + j) * n;
      octet s = read8(slope + at);
      if (rectified) s = where8(~(read8(y + at) <= (octet){}), s);
      octet_ints place = __builtin_convertvector(*(const octet_bytes *)(places + at), octet_ints);
      octet part[4];
      EACH(q, 4) part[q] = where8(place == q, s);
      const float *begin = image + 2 * i * line + 2 * j * c;
      for (int q = 0; q < 4; q++)
        EACH(t, TAPS)
          if (t < count) sums[t] += part[q] * all8(begin[offsets[t] + shifts[q]]);
      total += s;
    }
  for (int t = 0; t < count; t++) write8(found + t * stride, sums[t]);
  if (bias) write8(bias, total);
}

/* The slopes of a loss by weights and biases of the pooled convolution, from that by y. Returns 0, or 1 without memory. */
int isthmus_pooled_convolution_slopes(size rows, size h, size w, size c, size n, size k, const float *x, const float *y,
                                      const uint8_t *places, const float *slope, int rectified, float *of_weights, float *of_bias,
                                      int threads) {
  size p = k / 2, line = (w + 2 * p + 1) * c, whole = line * (h + 2 * p + 1), rows2 = (h + 1) / 2, columns2 = (w + 1) / 2, taps = k * k * c;
  size part = (taps + 1) * n, shifts[4] = {0, c, line, line + c};
  float *partial = memory_for(rows * part + part + threads * whole);
  if (!partial) return 1;
#pragma omp parallel num_threads(threads)
  {
    float *image = partial + (rows + 1) * part;
#ifdef _OPENMP
    image += whole * omp_get_thread_num();
#endif
#pragma omp for schedule(static)
    for (size r = 0; r < rows; r++) {
      frame(image, x + r * h * w * c, h, w, c, p, 1);
      size from = r * rows2 * columns2 * n;
      for (size first = 0; first < taps; first += TAPS) {
        size offsets[TAPS] = {};
        int count = least(taps - first, TAPS);
        for (int t = 0; t < count; t++) offsets[t] = (first + t) / (k * c) * line + (first + t) % (k * c);
        for (size f = 0; f < n; f += 8) {
          float *found = partial + r * part + first * n + f, *bias = first ? NULL : partial + r * part + taps * n + f;
          const float *s = slope + from + f, *out = y + from + f;
          if (count == TAPS)
            pooled_slopes(rows2, columns2, n, offsets, shifts, TAPS, image, line, c, out, places + from + f, s, rectified, found, n, bias);
          else
            pooled_slopes(rows2, columns2, n, offsets, shifts, count, image, line, c, out, places + from + f, s, rectified, found, n, bias);
        }
      }
    }
  }
  float *sum = partial + rows * part;
  sum_parts(rows, part, partial, sum);
  features_last(of_weights, sum, n, c, k, 1);
  memcpy(of_bias, sum + taps * n, n * sizeof(float));
  return 0;
}

/* Where maps (h + shift, w + shift, 2, 2, n) have the features of pixel (i, j) of an image of 2 h x 2 w pixels. */
static inline size shuffled(size i, size j, size w, size n, size shift) {
  size u = i % 2, v = j % 2;
  return (((i / 2 + u * shift) * (w + shift) + j / 2 + v * shift) * 4 + 2 * u + v) * n;
}

/* Maps (rows, h + shift, w + shift, 2, 2, n) of even and odd positions, shuffled to images y (rows, 2 h, 2 w, n) and rectified, and their
   convolution to few channels: out (rows, 2 h, 2 w, o). Returns 0, or 1 without memory. */
int isthmus_shuffled_convolution(size rows, size h, size w, size n, size shift, size o, size k, const float *maps, const float *weights,
                                 const float *bias, float *y, float *out, int threads) {
  size p = k / 2, height = 2 * h, width = 2 * w;
  float *turned = memory_for(o * k * k * n);
  if (!turned) return 1;
  for (size q = 0; q < o; q++) features_last(turned + q * k * k * n, weights + q * k * k * n, 1, n, k, 0);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size r = 0; r < rows; r++) {
    float *image = y + r * height * width * n, *to = out + r * height * width * o;
    const float *from = maps + r * (h + shift) * (w + shift) * 4 * n;
    for (size i = 0; i < height; i++)
      for (size j = 0; j < width; j++) {
        const float *pixel = from + shuffled(i, j, w, n, shift);
        for (size f = 0; f < n; f += 8) {
          octet v = read8(pixel + f);
          write8(image + (i * width + j) * n + f, where8(~(v < (octet){}), v));
        }
      }
    for (size i = 0; i < height; i++)
      for (size j = 0; j < width; j++)
        for (size q = 0; q < o; q++) {
          octet sums[4] = {};
          size v = j < p ? p - j : 0, numbers = (least(k, width + p - j) - v) * n; /* neighbors stand next to each other */
          for (size u = i < p ? p - i : 0; u < least(k, height + p - i); u++) {
            const float *seen = image + ((i + u - p) * width + j + v - p) * n, *weight = turned + ((q * k + u) * k + v) * n;
            size f = 0;
            for (; f + 32 <= numbers; f += 32) EACH(e, 4) sums[e] += read8(seen + f + 8 * e) * read8(weight + f + 8 * e);
            for (; f < numbers; f += 8) sums[0] += read8(seen + f) * read8(weight + f);
          }
          octet sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
          to[(i * width + j) * o + q] = bias[q] + (((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7])));
        }
  }
  return 0;
}

/* Of one image: the slopes by `count` <= TAPS weights of eight features, and what these weights add to the slope by the maps. */
static inline __attribute__((always_inline)) void shuffled_slopes(size h, size w, size n, size shift, size o, const size *offsets, int count,
                                                                  int first, const float *y, const float *slope, size line,
                                                                  const float *weights, float *found, float *of_maps) {
  octet sums[TAPS] = {};
  for (size i = 0; i < 2 * h; i++)
    for (size j = 0; j < 2 * w; j++) {
      octet seen = read8(y + (i * 2 * w + j) * n), back = {};
      const float *s = slope + i * line + j * o;
      EACH(t, TAPS)
        if (t < count) {
          octet at = all8(s[offsets[t]]);
          sums[t] += at * seen;
          back += at * read8(weights + t * n);
        }
      float *to = of_maps + shuffled(i, j, w, n, shift);
      back = where8(~(seen <= (octet){}), back);
      write8(to, first ? back : read8(to) + back);
    }
  for (int t = 0; t < count; t++) write8(found + t * n, sums[t]);
}

/* The slopes of a loss by the maps, and by weights and biases of the convolution, from that by its outputs. Returns 0, or 1 without memory. */
int isthmus_shuffled_convolution_slopes(size rows, size h, size w, size n, size shift, size o, size k, const float *weights, const float *y,
                                        const float *slope, float *of_maps, float *of_weights, float *of_bias, int threads) {
  size p = k / 2, height = 2 * h, width = 2 * w, line = (width + 2 * p) * o, whole = line * (height + 2 * p), taps = k * k;
  size part = o * taps * n, map = (h + shift) * (w + shift) * 4 * n;
  float *turned = memory_for(part * (rows + 2) + rows * o + threads * whole);
  if (!turned) return 1;
  float *partial = turned + part, *biases = partial + part * rows;
  for (size q = 0; q < o; q++) features_last(turned + q * taps * n, weights + q * taps * n, 1, n, k, 0);
#pragma omp parallel num_threads(threads)
  {
    float *framed = biases + rows * o + part;
#ifdef _OPENMP
    framed += whole * omp_get_thread_num();
#endif
#pragma omp for schedule(static)
    for (size r = 0; r < rows; r++) {
      const float *from = slope + r * height * width * o, *image = y + r * height * width * n;
      frame(framed, from, height, width, o, p, 0);
      memset(of_maps + r * map, 0, map * sizeof(float));
      for (size q = 0; q < o; q++) {
        float sum = 0;
        for (size i = 0; i < height * width; i++) sum += from[i * o + q];
        biases[r * o + q] = sum;
        for (size t0 = 0; t0 < taps; t0 += TAPS) {
          size offsets[TAPS] = {};
          int count = least(taps - t0, TAPS);
          for (int t = 0; t < count; t++) /* a weight that sees one pixel further carries slopes from one pixel before */
            offsets[t] = (k - 1 - (t0 + t) / k) * line + (k - 1 - (t0 + t) % k) * o + q;
          for (size f = 0; f < n; f += 8) {
            size at = (q * taps + t0) * n + f;
            float *to = of_maps + r * map + f;
            if (count == TAPS)
              shuffled_slopes(h, w, n, shift, o, offsets, TAPS, !q && !t0, image + f, framed, line, turned + at, partial + r * part + at, to);
            else
              shuffled_slopes(h, w, n, shift, o, offsets, count, !q && !t0, image + f, framed, line, turned + at, partial + r * part + at, to);
          }
        }
      }
    }
  }
  float *sum = biases + rows * o;
  sum_parts(rows, part, partial, sum);
  for (size q = 0; q < o; q++) features_last(of_weights + q * taps * n, sum + q * taps * n, 1, n, k, 1);
  sum_parts(rows, o, biases, of_bias);
  return 0;
}

#define GROUPS 16 /* of examples, each with sums of its own */
_Static_assert(NV == 2, "a panel has all vectors or one");
#define BAND 512  /* outputs of an image whose slopes are in a panel at once, unless a line has more */

/* sums += the products of MR inputs of each output of a band, which are `offsets` behind its place, and the slopes by `wide` vectors of it. */
static inline __attribute__((always_inline)) void add_products(size h, size w, const float *image, size line, size c, const size *offsets,
                                                               const float *panel, int wide, float *to, size stride) {
  vec sums[MR][NV];
  EACH(r, MR)
    EACH(s, NV)
      if (s < wide) sums[r][s] = load(to + r * stride + s * VL);
  for (size i = 0; i < h; i++) {
    const float *at = image + i * line;
    for (size j = 0; j < w; j++, at += c, panel += wide * VL) {
      vec row[NV];
      EACH(s, NV)
        if (s < wide) row[s] = load(panel + s * VL);
      EACH(r, MR) {
        vec x = all(at[offsets[r]]);
        EACH(s, NV)
          if (s < wide) sums[r][s] += x * row[s];
      }
    }
  }
  EACH(r, MR)
    EACH(s, NV)
      if (s < wide) store(to + r * stride + s * VL, sums[r][s]);
}

/* Up to `wide` vectors of `count` rows of slope (count x n), of which `there` numbers are there, as a panel. Their sums are added to bias. */
static inline __attribute__((always_inline)) void pack_slopes(float *restrict panel, const float *restrict slope, size count, size n,
                                                              size there, int wide, float *restrict bias) {
  vec sums[NV];
  EACH(s, NV)
    if (s < wide) sums[s] = load(bias + s * VL);
  for (size q = 0; q < count; q++, panel += wide * VL, slope += n) {
    if (there >= wide * VL)
      EACH(s, NV) {
        if (s < wide) store(panel + s * VL, load(slope + s * VL));
      }
    else
      for (int s = 0; s < wide * VL; s++) panel[s] = s < there ? slope[s] : 0;
    EACH(s, NV)
      if (s < wide) sums[s] += load(panel + s * VL);
  }
  EACH(s, NV)
    if (s < wide) store(bias + s * VL, sums[s]);
}

/* The slopes of a loss by weights and biases of a convolution of x (rows, h, w, c) with p zeros on each side, from that by its outputs
   (rows, h + 2 p - k + 1, w + 2 p - k + 1, n). Returns 0, or 1 without memory. */
int isthmus_convolution_slopes(size rows, size h, size w, size c, size n, size k, size p, const float *x, const float *slope,
                               float *of_weights, float *of_bias, int threads) {
  size height = h + 2 * p - k + 1, width = w + 2 * p - k + 1, line = (w + 2 * p) * c, taps = k * k * c, band = BAND / width;
  band = band < 1 ? 1 : least(band, height);
  size stride = parts(n, VL) * VL, tiles = parts(taps, MR), part = (tiles * MR + 1) * stride, groups = least(rows, GROUPS);
  size whole = parts((band + k - 1) * line + band * width * NR, 16) * 16;
  float *partial = memory_for(groups * part + threads * whole + taps * n);
  if (!partial) return 1;
#pragma omp parallel num_threads(threads)
  {
    float *panel = partial + groups * part, *image;
#ifdef _OPENMP
    panel += whole * omp_get_thread_num();
#endif
    image = panel + band * width * NR;
#pragma omp for schedule(static)
    for (size g = 0; g < groups; g++) {
      float *found = partial + g * part, *bias = found + tiles * MR * stride;
      memset(found, 0, part * sizeof(float));
      for (size r = share(rows, g, groups); r < share(rows, g + 1, groups); r++)
        for (size i0 = 0; i0 < height; i0 += band) {
          size lines = least(band, height - i0);
          for (size i = 0; i < lines + k - 1; i++) { /* a band of the image with its border */
            size from = i0 + i - p;
            memset(image + i * line, 0, line * sizeof(float));
            if (from >= 0 && from < h) memcpy(image + i * line + p * c, x + (r * h + from) * w * c, w * c * sizeof(float));
          }
          for (size f = 0; f < n; f += NR) {
            int wide = least(parts(n - f, VL), NV);
            const float *from = slope + (r * height + i0) * width * n + f;
            if (wide == NV)
              pack_slopes(panel, from, lines * width, n, n - f, NV, bias + f);
            else
              pack_slopes(panel, from, lines * width, n, n - f, 1, bias + f);
            for (size t = 0; t < tiles; t++) {
              size offsets[MR];
              for (int q = 0; q < MR; q++) {
                size tap = least(t * MR + q, taps - 1);
                offsets[q] = tap / (k * c) * line + tap % (k * c);
              }
              float *to = found + t * MR * stride + f;
              if (wide == NV)
                add_products(lines, width, image, line, c, offsets, panel, NV, to, stride);
              else
                add_products(lines, width, image, line, c, offsets, panel, 1, to, stride);
            }
          }
        }
    }
  }
  float *sum = partial + groups * part + threads * whole;
  for (size t = 0; t <= taps; t++) { /* the biases are in the row behind all tiles */
    size from = t < taps ? t : tiles * MR;
    float *to = t < taps ? sum + t * n : of_bias;
    memset(to, 0, n * sizeof(float));
    for (size g = 0; g < groups; g++)
      for (size j = 0; j < n; j++) to[j] += partial[g * part + from * stride + j];
  }
  features_last(of_weights, sum, n, c, k, 1);
  return 0;
}
