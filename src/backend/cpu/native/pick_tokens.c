// Choosing tokens from logits: see PickTokens in graph/operations.ts for the rules.
#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "simd.h"

#define NO_TOKEN 0xffffffffu

enum { BEAMS, TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY, DRAW };

typedef struct { float value; uint32_t id; } candidate;

// Larger values first, equal ones by their ids.
static int falling(const void *left, const void *right) {
  const candidate *a = left, *b = right;
  if (a->value != b->value) return a->value < b->value ? 1 : -1;
  return a->id < b->id ? -1 : 1;
}

static uint32_t sample(const candidate *sorted, word count, const float *settings) {
  word kept = settings[TOP_K] > 0 && settings[TOP_K] < count ? (word)settings[TOP_K] : count;
  double top = sorted[0].value, total = 0, sum = 0;
  for (word i = 0; i < kept; i++) total += exp((sorted[i].value - top) / settings[TEMPERATURE]);
  if (settings[TOP_P] < 1) {
    word enough = 0;
    while (enough < kept && sum < settings[TOP_P] * total) sum += exp((sorted[enough++].value - top) / settings[TEMPERATURE]);
    kept = enough > 0 ? enough : 1;
    total = 0;
    for (word i = 0; i < kept; i++) total += exp((sorted[i].value - top) / settings[TEMPERATURE]);
  }
  sum = 0;
  for (word i = 0; i < kept; i++) {
    sum += exp((sorted[i].value - top) / settings[TEMPERATURE]);
    if (sum > settings[DRAW] * total) return sorted[i].id;
  }
  return sorted[kept - 1].id;
}

static void penalise(candidate *values, const tensor *list, word b, float penalty) {
  if (!list->address) return;
  for (word i = 0; i < list->columns; i++) {
    uint32_t id = row_u32(list, b)[i];
    if (id == NO_TOKEN) continue;
    float value = values[id].value;
    values[id].value = value > 0 ? value / penalty : value * penalty;
  }
}

static void suppress(candidate *values, const tensor *list, word b) {
  if (!list->address) return;
  for (word i = 0; i < list->columns; i++) {
    if (row_u32(list, b)[i] != NO_TOKEN) values[row_u32(list, b)[i]].value = -INFINITY;
  }
}

static void pick_row(const pick_tokens_operation *o, word b, candidate *values) {
  const float *logits = row_f32(&o->logits, b), *settings = row_f32(&o->settings, b);
  word vocabulary = o->logits.columns, finite = 0;
  uint32_t *tokens = row_u32(&o->tokens, b);
  float *scores = row_f32(&o->scores, b), top = -INFINITY;
  for (word i = 0; i < o->tokens.columns; i++) tokens[i] = NO_TOKEN, scores[i] = NAN;
  for (word id = 0; id < vocabulary; id++) {
    if (isnan(logits[id])) return;
    if (logits[id] > top) top = logits[id];
  }
  double sum = 0;
  for (word id = 0; id < vocabulary; id++) sum += exp(logits[id] - top);
  double normaliser = top + log(sum);
  for (word id = 0; id < vocabulary; id++) {
    values[id] = (candidate){settings[BEAMS] ? (float)(logits[id] - normaliser) : logits[id], (uint32_t)id};
  }
  penalise(values, &o->penalised, b, settings[REPETITION_PENALTY]);
  suppress(values, &o->suppressed, b);
  if (!settings[BEAMS] && settings[TEMPERATURE] == 0) {
    tokens[0] = 0;
    for (word id = 1; id < vocabulary; id++) if (values[id].value > values[tokens[0]].value) tokens[0] = (uint32_t)id;
    scores[0] = (float)(logits[tokens[0]] - normaliser);
  } else {
    qsort(values, vocabulary, sizeof *values, falling);
    if (settings[BEAMS]) {
      for (word i = 0; i < o->tokens.columns; i++) tokens[i] = values[i].id, scores[i] = values[i].value;
    } else {
      while (finite < vocabulary && values[finite].value > -INFINITY) finite++;
      tokens[0] = sample(values, finite > 0 ? finite : 1, settings);
      scores[0] = (float)(logits[tokens[0]] - normaliser);
    }
  }
}

void KERNEL(pick_tokens)(const lane *lane) {
  const pick_tokens_operation *o = &lane->operation->pick_tokens;
  candidate *values = (candidate *)workspace(lane) + lane->index * o->logits.columns;
  word first, end;
  while (claim(lane, 0, o->logits.rows, 1, &first, &end)) {
    for (word b = first; b < end; b++) pick_row(o, b, values);
  }
}

// The candidates of a row for each lane.
word KERNEL(pick_tokens_workspace)(const pick_tokens_operation *operation, word fast, int lanes) {
  (void)fast;
  return lanes * operation->logits.columns * (word)sizeof(candidate);
}
