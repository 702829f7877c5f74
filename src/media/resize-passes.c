// The two passes of Pillow's bicubic resize in WebAssembly SIMD; resize-passes-plain.ts is the same in plain loops.
//
// A weight is a 22-bit fixed-point number c. Products of 16-bit numbers summed in pairs are one instruction, so c is
// split: c = high * 2048 + low with low in 0..2047. The sum of pixel * c is then (sum of pixel * high) * 2048 + (sum of
// pixel * low), exactly: both halves stay far below 32 bits.
//
// Weights arrive as `pairs` of taps, [outputs][pairs][high of both, low of both], padded with zeros.
#include <stdint.h>
#include <wasm_simd128.h>

#define FRACTION_BITS 22
#define LOW_BITS 11

static inline v128_t sum_of(v128_t high, v128_t low) {
  v128_t half = wasm_i32x4_splat(1 << (FRACTION_BITS - 1));
  v128_t sum = wasm_i32x4_add(wasm_i32x4_shl(high, LOW_BITS), wasm_i32x4_add(low, half));
  return wasm_i32x4_shr(sum, FRACTION_BITS);
}

// Rows done together across: they share the weights.
#define ROWS 4

static inline void rows_across(const uint8_t *data, int64_t row_bytes, int32_t rows, int32_t outputs, const int32_t *first,
                               const int32_t *weights, int32_t pairs, uint8_t *result) {
  for (int32_t x = 0; x < outputs; x++) {
    const uint8_t *read = data + first[x] * 3;
    const int32_t *weight = weights + (int64_t)x * pairs * 2;
    v128_t high[ROWS] = {0}, low[ROWS] = {0};
    for (int32_t pair = 0; pair < pairs; pair += 2, read += 12, weight += 4) {
      v128_t high1 = wasm_v128_load32_splat(weight), low1 = wasm_v128_load32_splat(weight + 1);
      v128_t high2 = wasm_v128_load32_splat(weight + 2), low2 = wasm_v128_load32_splat(weight + 3);
      for (int32_t row = 0; row < rows; row++) {
        // Four pixels r g b r g b …, as two pairs of taps: r r g g b b 0 0.
        v128_t pixels = wasm_v128_load(read + row * row_bytes), zero = wasm_i32x4_splat(0);
        v128_t taps = wasm_i8x16_shuffle(pixels, zero, 0, 3, 1, 4, 2, 5, 16, 16, 6, 9, 7, 10, 8, 11, 16, 16);
        v128_t one = wasm_u16x8_extend_low_u8x16(taps), two = wasm_u16x8_extend_high_u8x16(taps);
        high[row] = wasm_i32x4_add(high[row], wasm_i32x4_dot_i16x8(one, high1));
        low[row] = wasm_i32x4_add(low[row], wasm_i32x4_dot_i16x8(one, low1));
        high[row] = wasm_i32x4_add(high[row], wasm_i32x4_dot_i16x8(two, high2));
        low[row] = wasm_i32x4_add(low[row], wasm_i32x4_dot_i16x8(two, low2));
      }
    }
    for (int32_t row = 0; row < rows; row++) {
      v128_t sum = sum_of(high[row], low[row]);
      v128_t narrow = wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(sum, sum), sum);
      uint8_t *write = result + ((int64_t)row * outputs + x) * 3;
      wasm_v128_store16_lane(write, narrow, 0);
      wasm_v128_store8_lane(write + 2, narrow, 2);
    }
  }
}

// [height, width, 3] to [height, outputs, 3]. Up to 16 bytes beyond the picture are read. first: [outputs]; pairs: how
// many pairs of taps each output has.
__attribute__((export_name("across"))) void across(const uint8_t *data, int32_t width, int32_t height, int32_t outputs,
                                                   const int32_t *first, const int32_t *weights, int32_t pairs,
                                                   uint8_t *result) {
  int64_t row_bytes = (int64_t)width * 3;
  int32_t y = 0;
  for (; y + ROWS <= height; y += ROWS) {
    rows_across(data + y * row_bytes, row_bytes, ROWS, outputs, first, weights, pairs, result + (int64_t)y * outputs * 3);
  }
  for (; y < height; y++) {
    rows_across(data + y * row_bytes, row_bytes, 1, outputs, first, weights, pairs, result + (int64_t)y * outputs * 3);
  }
}

// [height, columns] to [outputs, columns], `columns` counted in bytes. Up to 16 bytes beyond each are read and written.
__attribute__((export_name("down"))) void down(const uint8_t *data, int32_t columns, int32_t height, int32_t outputs,
                                               const int32_t *first, const int32_t *weights, int32_t pairs,
                                               uint8_t *result) {
  for (int32_t y = 0; y < outputs; y++) {
    for (int32_t x = 0; x < columns; x += 16) {
      v128_t high[4] = {0}, low[4] = {0};
      for (int32_t pair = 0; pair < pairs; pair++) {
        const int32_t *weight = weights + ((int64_t)y * pairs + pair) * 2;
        if (weight[0] == 0 && weight[1] == 0) continue;
        // The second row of a pair may lie below the picture, with weight zero: read the last one instead.
        int32_t upper = first[y] + pair * 2, lower = upper + 1 < height ? upper + 1 : upper;
        v128_t a = wasm_v128_load(data + (int64_t)upper * columns + x);
        v128_t b = wasm_v128_load(data + (int64_t)lower * columns + x);
        v128_t left = wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        v128_t right = wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        v128_t quarter[4] = {wasm_u16x8_extend_low_u8x16(left), wasm_u16x8_extend_high_u8x16(left),
                             wasm_u16x8_extend_low_u8x16(right), wasm_u16x8_extend_high_u8x16(right)};
        v128_t weight_high = wasm_v128_load32_splat(weight), weight_low = wasm_v128_load32_splat(weight + 1);
        for (int q = 0; q < 4; q++) {
          high[q] = wasm_i32x4_add(high[q], wasm_i32x4_dot_i16x8(quarter[q], weight_high));
          low[q] = wasm_i32x4_add(low[q], wasm_i32x4_dot_i16x8(quarter[q], weight_low));
        }
      }
      v128_t first_half = wasm_i16x8_narrow_i32x4(sum_of(high[0], low[0]), sum_of(high[1], low[1]));
      v128_t second_half = wasm_i16x8_narrow_i32x4(sum_of(high[2], low[2]), sum_of(high[3], low[3]));
      wasm_v128_store(result + (int64_t)y * columns + x, wasm_u8x16_narrow_i16x8(first_half, second_half));
    }
  }
}
