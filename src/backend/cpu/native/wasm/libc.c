// What the kernels take from the C library, for WebAssembly, where there is none. The elementary functions are within
// 2.5 units in the last place of the true value (wasm-libc.test.ts); single precision is worked out in double.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Bulk memory has an instruction for each.
void *memcpy(void *to, const void *from, size_t bytes) { return __builtin_memcpy(to, from, bytes); }
void *memmove(void *to, const void *from, size_t bytes) { return __builtin_memmove(to, from, bytes); }
void *memset(void *to, int value, size_t bytes) { return __builtin_memset(to, value, bytes); }

static double from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t to_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// 2^n for n of a normal number.
static double power_of_two(int n) { return from_bits((uint64_t)(n + 1023) << 52); }

static double polynomial(const double *coefficients, int count, double x) {
  double sum = coefficients[0];
  for (int i = 1; i < count; i++) sum = sum * x + coefficients[i];
  return sum;
}

#define POLYNOMIAL(x, ...) \
  polynomial((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double), x)

// ln 2 in two parts: the first has so few digits that its product with an exponent is exact.
static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33, per_ln2 = 0x1.71547652b82fep+0;

// x = n ln 2 + r, |r| <= ln 2 / 2; e^r by its series; times 2^n, in two steps where the result is subnormal.
double exp(double x) {
  if (isnan(x)) return x;
  if (x > 709.8) return INFINITY;
  if (x < -745.2) return 0;
  double n = __builtin_rint(x * per_ln2), r = x - n * ln2_high - n * ln2_low;
  double power = POLYNOMIAL(r, 1 / 6227020800., 1 / 479001600., 1 / 39916800., 1 / 3628800., 1 / 362880., 1 / 40320.,
                            1 / 5040., 1 / 720., 1 / 120., 1 / 24., 1 / 6., 0.5, 1, 1);
  int half = (int)n / 2;
  return power * power_of_two(half) * power_of_two((int)n - half);
}

float expf(float x) {
  if (isnan(x)) return x;
  if (x > 88.8f) return INFINITY;
  if (x < -104.f) return 0;
  double n = __builtin_rint(x * per_ln2), r = x - n * (ln2_high + ln2_low);
  double power = POLYNOMIAL(r, 1 / 40320., 1 / 5040., 1 / 720., 1 / 120., 1 / 24., 1 / 6., 0.5, 1, 1);
  return (float)(power * power_of_two((int)n));
}

// x = 2^n m, m in [sqrt 1/2, sqrt 2); ln m = 2 artanh(s) with s = (m - 1) / (m + 1), by its series in s².
double log(double x) {
  if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
  if (x == INFINITY) return x;
  int n = 0;
  if (x < 0x1p-1022) x *= 0x1p54, n = -54;
  uint64_t bits = to_bits(x);
  n += (int)(bits >> 52) - 1023;
  double m = from_bits((bits & 0xfffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) m /= 2, n++;
  double s = (m - 1) / (m + 1), square = s * s;
  double tail = POLYNOMIAL(square, 1 / 25., 1 / 23., 1 / 21., 1 / 19., 1 / 17., 1 / 15., 1 / 13., 1 / 11., 1 / 9., 1 / 7.,
                           1 / 5., 1 / 3., 0);
  return n * ln2_high + (2 * s + (2 * s * tail + n * ln2_low));
}

float logf(float x) { return (float)log(x); }

// erf(x) / x in powers of x² below 1; then 1 - erfc(x), where erfc(x) e^(x²) is smooth in (x - 2) / (x + 2). Both
// polynomials are near-minimax (Chebyshev), off by less than 1e-12. From 4 on it rounds to 1.
float erff(float x) {
  double a = __builtin_fabs(x), square = a * a;
  if (a <= 1) {
    return (float)(x * POLYNOMIAL(square, 1.0589380641075019e-6, -1.3909340021874599e-5, 1.195656256820733e-4,
                                  -8.5426379970872296e-4, 5.2237834771892481e-3, -2.6866133235095592e-2,
                                  0.11283791308604581, -0.37612638889635307, 1.1283791670946767));
  }
  if (isnan(x)) return x;
  if (a >= 4) return x > 0 ? 1 : -1;
  double tail = exp(-square) * POLYNOMIAL((a - 2) / (a + 2), 2.347756752806171e-5, 1.660272717714123e-4,
                                          4.3997595133466775e-5, -9.8105454451745369e-4, -8.4716456376909444e-4,
                                          6.9974169768619078e-3, 3.7328928255044519e-3, -7.8978580128394724e-2,
                                          0.24165819424013024, -0.4271858474188863, 0.25539567631050574);
  return (float)(x > 0 ? 1 - tail : tail - 1);
}

// x 2^n; n may be anything that leaves a normal number, which is all that half precision asks for.
float ldexpf(float x, int n) { return (float)(x * power_of_two(n)); }

static void exchange(char *a, char *b, size_t size) {
  for (size_t i = 0; i < size; i++) {
    char kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}

static void sink(char *values, size_t from, size_t count, size_t size, int (*order)(const void *, const void *)) {
  for (size_t child = 2 * from + 1; child < count; child = 2 * from + 1) {
    if (child + 1 < count && order(values + child * size, values + (child + 1) * size) < 0) child++;
    if (order(values + from * size, values + child * size) >= 0) return;
    exchange(values + from * size, values + child * size, size);
    from = child;
  }
}

// Heap sort: in place, without recursion.
void qsort(void *values, size_t count, size_t size, int (*order)(const void *, const void *)) {
  for (size_t i = count / 2; i-- > 0;) sink(values, i, count, size, order);
  for (size_t end = count; end-- > 1;) {
    exchange(values, (char *)values + end * size, size);
    sink(values, 0, end, size, order);
  }
}
