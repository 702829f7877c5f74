// What the kernels take from the C library, for WebAssembly, where there is none. The elementary functions are within
// 2.5 units in the last place of the true value (wasm-libc.test.ts).
#include <math.h>
#include <stdint.h>
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

// x 2^n; n may be anything that leaves a normal number, which is all that half precision asks for.
float ldexpf(float x, int n) { return (float)(x * power_of_two(n)); }
