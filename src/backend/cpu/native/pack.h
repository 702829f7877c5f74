// Panel formats: how the weights of matrix products are laid out, once, at load. A weight W is [rows, columns]; output m
// of a product is row m. Rows are taken 16 at a time (a panel), padded with zero rows; columns are padded with zeros to a
// multiple of 64. Within a panel, what a vector register or matrix tile wants together stands together:
//
// PANEL_F32   [panel][column][16 rows]                      f32
// PANEL_BF16  [panel][column / 2][16 rows][2 columns]       bf16: one 64-byte line is 16 rows by 2 columns, the operand of
//                                                           a bf16 dot product and a row of a bf16 matrix tile
// PANEL_INT8  [panel][column / 4][16 rows][4 columns]       int8, symmetric: value = scale[row] * q
//                                                           scales: f32 [panel][16 rows]
// PANEL_INT4  [panel][column / 8][16 rows][4 bytes]         byte b of a row holds columns b (low nibble) and b + 4 (high)
//                                                           of the 8; nibbles are q + 8, q in -8..7
//                                                           value = scale[group][row] * q, groups of 32 columns;
//                                                           scales: bf16 [panel][column / 32][16 rows]
#ifndef INTERNVL_PACK_H
#define INTERNVL_PACK_H

#include "program.h"

#define PANEL_ROWS 16
#define COLUMN_PADDING 64
#define INT4_GROUP 32

static inline word padded_columns(word columns) { return (columns + COLUMN_PADDING - 1) / COLUMN_PADDING * COLUMN_PADDING; }
static inline word panels_of(word rows) { return (rows + PANEL_ROWS - 1) / PANEL_ROWS; }

static inline word panel_bytes(word columns, word format) {
  word values = PANEL_ROWS * padded_columns(columns);
  switch (format) {
    case PANEL_F32: return values * 4;
    case PANEL_BF16: return values * 2;
    case PANEL_INT8: return values;
    default: return values / 2;
  }
}

static inline word scale_bytes_per_panel(word columns, word format) {
  if (format == PANEL_INT8) return PANEL_ROWS * sizeof(float);
  if (format == PANEL_INT4) return padded_columns(columns) / INT4_GROUP * PANEL_ROWS * sizeof(uint16_t);
  return 0;
}

#endif
