/* Compares every kernel with plain loops in double precision, on a processor that may be an emulated one:
 *
 *   cc -std=gnu11 -O2 <flags of isthmus.native.build for the variant> -Isrc/isthmus/native tests/native/check.c -lm
 *
 * Prints a line for each kernel, and ends with 1 if one of them is wrong.
 */
#include <stdio.h>

#include "kernels.c"

static int wrong;

static double drawn(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) / (1ull << 52) - 1;
}

static float *numbers(size n) {
  float *p = malloc((n + 1) * sizeof(float));
  for (size i = 0; i < n; i++) p[i] = drawn();
  return p;
}

static double *zeros(size n) { return calloc(n + 1, sizeof(double)); }

/* Says whether numbers are those expected, but for rounding in single precision. */
static void compare(const char *what, size n, const float *found, const double *expected) {
  double worst = 0, scale = 1;
  for (size i = 0; i < n; i++) scale = fmax(scale, fabs(expected[i]));
  for (size i = 0; i < n; i++) {
    double error = fabs(found[i] - expected[i]) / scale;
    if (!(error <= worst)) worst = error;
  }
  int bad = !(worst < 1e-5);
  printf("%-40s %8lld numbers, largest error %.1e%s\n", what, (long long)n, worst, bad ? "  WRONG" : "");
  wrong |= bad;
}

static void check_layers(size rows, int count, const size *sizes, int threads) {
  const float *weights[4], *biases[4];
  float *outputs[4], *slopes[4], *weight_slopes[4], *bias_slopes[4], *x = numbers(rows * sizes[0]), *x_slope = numbers(rows * sizes[0]);
  double *exact[5], *of[5];
  for (int i = 0; i <= count; i++) exact[i] = zeros(rows * sizes[i]), of[i] = zeros(rows * sizes[i]);
  for (size i = 0; i < rows * sizes[0]; i++) exact[0][i] = x[i];
  for (int i = 0; i < count; i++) {
    weights[i] = numbers(sizes[i] * sizes[i + 1]), biases[i] = numbers(sizes[i + 1]);
    outputs[i] = numbers(rows * sizes[i + 1]), slopes[i] = numbers(rows * sizes[i + 1]);
    weight_slopes[i] = numbers(sizes[i] * sizes[i + 1]), bias_slopes[i] = numbers(sizes[i + 1]);
    for (size r = 0; r < rows; r++)
      for (size j = 0; j < sizes[i + 1]; j++) {
        double sum = biases[i][j];
        for (size q = 0; q < sizes[i]; q++) sum += exact[i][r * sizes[i] + q] * weights[i][j * sizes[i] + q];
        exact[i + 1][r * sizes[i + 1] + j] = i < count - 1 && sum < 0 ? 0 : sum;
      }
  }
  wrong |= isthmus_forward(rows, count, sizes, weights, biases, 1, x, outputs, threads);
  for (int i = 0; i < count; i++) compare("forward", rows * sizes[i + 1], outputs[i], exact[i + 1]);
  for (size i = 0; i < rows * sizes[count]; i++) of[count][i] = slopes[count - 1][i];
  wrong |= isthmus_backward(rows, count, sizes, weights, 1, x, (const float *const *)outputs, slopes, weight_slopes, bias_slopes, x_slope, threads);
  for (int i = count - 1; i >= 0; i--) {
    size k = sizes[i], n = sizes[i + 1];
    double *weight = zeros(n * k), *bias = zeros(n);
    for (size r = 0; r < rows; r++)
      for (size j = 0; j < n; j++) {
        bias[j] += of[i + 1][r * n + j];
        for (size q = 0; q < k; q++) {
          weight[j * k + q] += of[i + 1][r * n + j] * exact[i][r * k + q];
          if (!i || outputs[i - 1][r * k + q] > 0) of[i][r * k + q] += of[i + 1][r * n + j] * weights[i][j * k + q];
        }
      }
    compare("backward: weights", n * k, weight_slopes[i], weight);
    compare("backward: biases", n, bias_slopes[i], bias);
  }
  compare("backward: inputs", rows * sizes[0], x_slope, of[0]);
}

static void check_cross_entropy(size rows, size n, int threads) {
  float *y = numbers(rows * n), *x = numbers(rows * n), *slope = numbers(rows * n), *nll = numbers(rows);
  double *losses = zeros(rows), *slopes = zeros(rows * n);
  for (size i = 0; i < rows * n; i++) {
    y[i] *= i % 5 ? 4 : 60, x[i] = fabsf(x[i]);
    losses[i / n] += fmax(y[i], 0) - (double)x[i] * y[i] + log1p(exp(-fabs(y[i])));
    slopes[i] = 0.25 * (1 / (1 + exp(-y[i])) - x[i]);
  }
  isthmus_cross_entropy(rows, n, y, x, 0.25f, slope, nll, threads);
  compare("cross-entropy", rows, nll, losses);
  compare("cross-entropy: slopes", rows * n, slope, slopes);
}

static void check_normal(size rows, size n, int threads) {
  float *y = numbers(rows * n), *x = numbers(rows * n), *slope = numbers(rows * n), *nll = numbers(rows);
  for (int running = 0; running < 2; running++) {
    float scale = -0.3f, squares = 2, count = 3;
    double total = 1, *losses = zeros(rows), *slopes = zeros(rows * n);
    for (size i = 0; i < rows * n; i++) total += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    double log_scale = running ? 0.5 * log(total / (1.5 + rows * n)) : scale, variance = exp(2 * log_scale);
    for (size i = 0; i < rows * n; i++) {
      double error = (double)x[i] - y[i];
      losses[i / n] += 0.5 * error * error / variance + log_scale + 0.5 * log(2 * 3.14159265358979323846);
      slopes[i] = -0.25 * error / variance;
    }
    isthmus_normal(rows, n, y, x, 0.25f, &scale, running ? &squares : NULL, running ? &count : NULL, 0.5f, 1e-3f, slope, nll, threads);
    compare("normal errors", rows, nll, losses);
    compare("normal errors: slopes", rows * n, slope, slopes);
    compare("normal errors: scale", 1, &scale, &log_scale);
  }
}

/* The outputs of a convolution of x (rows, h, w, c) with p zeros on each side, (rows, h + 2 p - k + 1, ..., n), and the slopes. */
static void plain_convolution(size rows, size h, size w, size c, size n, size k, size p, const double *x, const float *weights,
                              const float *bias, double *y, const double *slope, double *of_x, double *of_weights, double *of_bias) {
  size height = h + 2 * p - k + 1, width = w + 2 * p - k + 1;
  for (size r = 0; r < rows; r++)
    for (size i = 0; i < height; i++)
      for (size j = 0; j < width; j++)
        for (size f = 0; f < n; f++) {
          size to = ((r * height + i) * width + j) * n + f;
          if (y) y[to] = bias[f];
          if (slope) of_bias[f] += slope[to];
          for (size d = 0; d < c; d++)
            for (size u = 0; u < k; u++)
              for (size v = 0; v < k; v++) {
                size a = i + u - p, b = j + v - p, weight = ((f * c + d) * k + u) * k + v;
                if (a < 0 || b < 0 || a >= h || b >= w) continue;
                size from = ((r * h + a) * w + b) * c + d;
                if (y) y[to] += x[from] * weights[weight];
                if (slope) of_weights[weight] += slope[to] * x[from];
                if (slope && of_x) of_x[from] += slope[to] * weights[weight];
              }
        }
}

static double *doubled(size n, const float *p) {
  double *d = zeros(n);
  for (size i = 0; i < n; i++) d[i] = p[i];
  return d;
}

static void check_convolution(size rows, size h, size w, size c, size n, size k, size p, int threads) {
  size outputs = rows * (h + 2 * p - k + 1) * (w + 2 * p - k + 1) * n;
  float *x = numbers(rows * h * w * c), *slope = numbers(outputs), *of_weights = numbers(n * c * k * k), *of_bias = numbers(n);
  double *weights = zeros(n * c * k * k), *biases = zeros(n);
  plain_convolution(rows, h, w, c, n, k, p, doubled(rows * h * w * c, x), NULL, NULL, NULL, doubled(outputs, slope), NULL, weights, biases);
  wrong |= isthmus_convolution_slopes(rows, h, w, c, n, k, p, x, slope, of_weights, of_bias, threads);
  compare("convolution: weights", n * c * k * k, of_weights, weights);
  compare("convolution: biases", n, of_bias, biases);
}

static void check_pooled(size rows, size h, size w, size c, size n, size k, int threads) {
  size rows2 = (h + 1) / 2, columns2 = (w + 1) / 2, pooled = rows * rows2 * columns2 * n, whole = rows * h * w * n;
  float *x = numbers(rows * h * w * c), *weights = numbers(n * c * k * k), *bias = numbers(n), *y = numbers(pooled), *slope = numbers(pooled);
  float *of_weights = numbers(n * c * k * k), *of_bias = numbers(n);
  uint8_t *places = malloc(pooled);
  double *plain = zeros(whole), *slopes = zeros(whole), *largest = zeros(pooled), *exact = zeros(n * c * k * k), *biases = zeros(n);
  double *inputs = doubled(rows * h * w * c, x);
  plain_convolution(rows, h, w, c, n, k, k / 2, inputs, weights, bias, plain, NULL, NULL, NULL, NULL);
  for (size o = 0; o < pooled; o++) {
    size r = o / (rows2 * columns2 * n), i = o / (columns2 * n) % rows2, j = o / n % columns2, f = o % n, best = -1;
    for (size q = 0; q < 4; q++) {
      size a = 2 * i + q / 2, b = 2 * j + q % 2, at = ((r * h + a) * w + b) * n + f;
      if (a < h && b < w && (best < 0 || plain[at] > plain[best])) best = at;
    }
    largest[o] = fmax(plain[best], 0);
    if (plain[best] > 0) slopes[best] += slope[o];
  }
  wrong |= isthmus_pooled_convolution(rows, h, w, c, n, k, x, weights, bias, 1, y, places, threads);
  compare("pooled convolution", pooled, y, largest);
  plain_convolution(rows, h, w, c, n, k, k / 2, inputs, weights, bias, NULL, slopes, NULL, exact, biases);
  wrong |= isthmus_pooled_convolution_slopes(rows, h, w, c, n, k, x, y, places, slope, 1, of_weights, of_bias, threads);
  compare("pooled convolution: weights", n * c * k * k, of_weights, exact);
  compare("pooled convolution: biases", n, of_bias, biases);
}

static void check_shuffled(size rows, size h, size w, size n, size second, size o, size k, int threads) {
  size length = rows * (h + second) * (w + second) * 4 * n, pixels = rows * 4 * h * w, taps = o * n * k * k;
  float *maps = numbers(length), *weights = numbers(taps), *bias = numbers(o), *y = numbers(pixels * n), *out = numbers(pixels * o);
  float *slope = numbers(pixels * o), *of_maps = numbers(length), *of_weights = numbers(taps), *of_bias = numbers(o);
  double *image = zeros(pixels * n), *exact = zeros(pixels * o), *of_image = zeros(pixels * n), *map_slopes = zeros(length);
  double *exact_weights = zeros(taps), *exact_bias = zeros(o);
  for (int back = 0; back < 2; back++) {
    for (size at = 0; at < pixels * n; at++) {
      size r = at / (4 * h * w * n), i = at / (2 * w * n) % (2 * h), j = at / n % (2 * w), u = i % 2, v = j % 2;
      size map = (((r * (h + second) + i / 2 + u * second) * (w + second) + j / 2 + v * second) * 4 + 2 * u + v) * n + at % n;
      if (back)
        map_slopes[map] = maps[map] > 0 ? of_image[at] : 0;
      else
        image[at] = maps[map] > 0 ? maps[map] : 0;
    }
    if (back) break;
    plain_convolution(rows, 2 * h, 2 * w, n, o, k, k / 2, image, weights, bias, exact, doubled(pixels * o, slope), of_image, exact_weights,
                      exact_bias);
  }
  wrong |= isthmus_shuffled_convolution(rows, h, w, n, second, o, k, maps, weights, bias, y, out, threads);
  compare("shuffled maps", pixels * n, y, image);
  compare("shuffled convolution", pixels * o, out, exact);
  wrong |= isthmus_shuffled_convolution_slopes(rows, h, w, n, second, o, k, weights, y, slope, of_maps, of_weights, of_bias, threads);
  compare("shuffled convolution: maps", length, of_maps, map_slopes);
  compare("shuffled convolution: weights", taps, of_weights, exact_weights);
  compare("shuffled convolution: biases", o, of_bias, exact_bias);
}

static void check_rest(size rows, size n, int threads) {
  float *h = numbers(2 * rows * n), *noise = numbers(rows * n), *z = numbers(rows * n), *deviation = numbers(rows * n);
  float *divergence = numbers(rows), *of_z = numbers(rows * n), *of_h = numbers(2 * rows * n), *scaled = numbers(rows * n);
  double *codes = zeros(rows * n), *divergences = zeros(rows), *slopes = zeros(2 * rows * n), *products = zeros(rows * n);
  for (size i = 0; i < rows * n; i++) {
    size mean = i / n * 2 * n + i % n, log_variance = mean + n;
    double d = exp(0.5 * h[log_variance]);
    codes[i] = h[mean] + d * noise[i];
    divergences[i / n] += 0.5 * (h[mean] * h[mean] + d * d - h[log_variance] - 1);
    slopes[mean] = of_z[i] + 0.5 * h[mean];
    slopes[log_variance] = 0.5 * (of_z[i] * noise[i] * d + 0.5 * (d * d - 1));
  }
  isthmus_normal_codes(rows, n, h, noise, z, deviation, divergence, threads);
  isthmus_normal_slopes(rows, n, h, noise, deviation, of_z, 0.5f, of_h, threads);
  compare("normal codes", rows * n, z, codes);
  compare("normal codes: divergences", rows, divergence, divergences);
  compare("normal codes: slopes", 2 * rows * n, of_h, slopes);
  for (size i = 0; i < rows * n; i++) products[i] = (double)of_z[i] * divergence[i / n];
  isthmus_scale_rows(rows, n, of_z, divergence, scaled, threads);
  compare("scaled rows", rows * n, scaled, products);
  for (int with_means = 0; with_means < 2; with_means++) {
    size lengths[2] = {rows * n, n};
    float *weights[2], *means[2], *squares[2], steps[2] = {2, 6}, *counts[2] = {steps, steps + 1};
    const float *of[2];
    double *exact[2];
    for (int i = 0; i < 2; i++) {
      weights[i] = numbers(lengths[i]), means[i] = numbers(lengths[i]), squares[i] = numbers(lengths[i]), of[i] = numbers(lengths[i]);
      exact[i] = zeros(lengths[i]);
      for (size j = 0; j < lengths[i]; j++) {
        squares[i][j] = fabsf(squares[i][j]);
        double g = of[i][j], square = 0.99 * squares[i][j] + 0.01 * g * g, mean = 0.9 * means[i][j] + 0.1 * g, step = steps[i] + 1;
        double adam = mean / (1 - pow(0.9, step)) / (sqrt(square / (1 - pow(0.99, step))) + 1e-3), plain = g / (sqrt(square) + 1e-3);
        exact[i][j] = weights[i][j] * (1 - 0.01 * 0.1) - 0.01 * (with_means ? adam : plain);
      }
    }
    isthmus_adam(2, lengths, weights, of, with_means ? means : NULL, squares, counts, 0.01, 0.9, 0.99, 1e-3, 0.1, 1e-30, threads);
    for (int i = 0; i < 2; i++) compare(with_means ? "Adam" : "RMSprop", lengths[i], weights[i], exact[i]);
    wrong |= steps[0] != 3 || steps[1] != 7;
  }
}

int main(void) {
  for (int threads = 1; threads < 4; threads += 2) {
    check_layers(1, 1, (size[]){1, 1}, threads);
    check_layers(17, 2, (size[]){37, 41, 37}, threads);
    check_layers(70, 3, (size[]){130, 64, 33, 129}, threads);
    check_layers(5, 1, (size[]){1700, 7}, threads);
    check_cross_entropy(9, 131, threads);
    check_cross_entropy(3, 1, threads);
    check_cross_entropy(40, 784, threads);
    check_normal(9, 131, threads);
    check_normal(1, 1, threads);
    check_normal(400, 90, threads);
    check_convolution(20, 6, 5, 5, 19, 3, 1, threads);
    check_convolution(3, 9, 9, 1, 32, 5, 2, threads);
    check_convolution(2, 3, 600, 2, 33, 2, 1, threads);
    check_pooled(3, 7, 9, 3, 16, 5, threads);
    check_pooled(2, 8, 8, 1, 32, 3, threads);
    check_shuffled(3, 4, 5, 24, 0, 2, 3, threads);
    check_shuffled(2, 5, 3, 8, 1, 3, 5, threads);
    check_rest(33, 21, threads);
    check_rest(1, 1, threads);
  }
  printf("%s\n", wrong ? "WRONG" : "every kernel computes what it should");
  return wrong;
}
