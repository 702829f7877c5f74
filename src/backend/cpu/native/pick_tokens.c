// Choosing tokens from logits: see PickTokens in graph/operations.ts for the rules. First all lanes go over slices of the
// vocabulary, then a lane takes a row: nothing is sorted but what the rules turn on.
#include <math.h>

#include "kernels.h"
#include "vector_math.h"

#define NO_TOKEN 0xffffffffu
// Ids of a slice.
#define SLICE 8192

enum { BEAMS, TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY, DRAW };

// A slice of a row: its largest logit, the sum of e^(logit - largest), whether there is a NaN, and where the largest value
// stands once the lists were applied.
typedef struct { double sum, best; float top; uint32_t best_id; word nan; } slice;

typedef struct { double value; uint32_t id; } candidate;

// Values that are close together in falling order: those of bucket i are larger than those of bucket i + 1.
#define BUCKETS 1024
typedef struct { double weight[BUCKETS]; word count[BUCKETS]; } histogram;

static word slices_of(const pick_tokens_operation *o) { return (o->logits.columns + SLICE - 1) / SLICE; }

// The workspace: values of all rows (logits with the lists applied), their slices, and for each lane a histogram and
// candidates.
static double *values_of(const lane *lane, word b) {
  return (double *)workspace(lane) + b * lane->operation->pick_tokens.logits.columns;
}

static slice *slices_at(const lane *lane, word b) {
  const pick_tokens_operation *o = &lane->operation->pick_tokens;
  return (slice *)values_of(lane, o->logits.rows) + b * slices_of(o);
}

static word lane_bytes(const pick_tokens_operation *o) {
  return (word)sizeof(histogram) + o->logits.columns * (word)sizeof(candidate);
}

static double penalised(double value, double penalty) { return value > 0 ? value / penalty : value * penalty; }

// Applies the lists to ids first … end - 1. Beams go by log-probability, which is the logit less `normaliser`.
static void apply_lists(const pick_tokens_operation *o, word b, double *values, word first, word end, double normaliser) {
  const double penalty = row_f32(&o->settings, b)[REPETITION_PENALTY];
  for (word i = 0; o->penalised.address && i < o->penalised.columns; i++) {
    const word id = row_u32(&o->penalised, b)[i];
    if (id >= first && id < end) values[id] = penalised(values[id] - normaliser, penalty) + normaliser;
  }
  for (word i = 0; o->suppressed.address && i < o->suppressed.columns; i++) {
    const word id = row_u32(&o->suppressed, b)[i];
    if (id >= first && id < end) values[id] = -INFINITY;
  }
}

// The sum of e^(x - top).
static double sum_of_powers(const float *x, word count, float top) {
  double sum = 0;
  word i = 0;
  while (i + LANES <= count) {
    // Few enough at a time that f32 holds their sum.
    lanes_f32 some = splat(0);
    for (word end = i + 16 * LANES; i < end && i + LANES <= count; i += LANES) {
      some += exp_lanes(load_lanes(x + i) - splat(top));
    }
    sum += sum_lanes(some);
  }
  for (; i < count; i++) sum += exp_lanes(splat(x[i] - top))[0];
  return sum;
}

static void read_slice(const lane *lane, word b, word index) {
  const pick_tokens_operation *o = &lane->operation->pick_tokens;
  const float *logits = row_f32(&o->logits, b), *settings = row_f32(&o->settings, b);
  const word first = index * SLICE, left = o->logits.columns - first, count = left < SLICE ? left : SLICE;
  double *values = values_of(lane, b);
  slice *s = slices_at(lane, b) + index;
  const float *x = logits + first;
  lanes_f32 most = splat(-INFINITY);
  lanes_i32 bad = {0};
  for (word i = 0; i < count; i++) values[first + i] = x[i];
  word i = 0;
  for (; i + LANES <= count; i += LANES) {
    lanes_f32 some = load_lanes(x + i);
    most = larger(some, most);
    bad |= (lanes_i32)(some != some);
  }
  float top = max_lanes(most);
  word nan = 0;
  for (int lane_index = 0; lane_index < LANES; lane_index++) nan |= bad[lane_index];
  for (; i < count; i++) {
    nan |= x[i] != x[i];
    top = x[i] > top ? x[i] : top;
  }
  *s = (slice){.top = top, .nan = nan, .best_id = (uint32_t)first};
  if (nan) return;
  s->sum = top > -INFINITY ? sum_of_powers(x, count, top) : 0;
  // Beams' lists need the normaliser of the whole row.
  if (settings[BEAMS]) return;
  if (!o->penalised.address && !o->suppressed.address) {
    while (logits[s->best_id] != top) s->best_id++;
  } else {
    apply_lists(o, b, values, first, first + count, 0);
    for (word id = first; id < first + count; id++) {
      if (values[id] > values[s->best_id]) s->best_id = (uint32_t)id;
    }
  }
  s->best = values[s->best_id];
}

// Whether a comes before b: larger values first, equal ones by their ids.
static bool before(candidate a, candidate b) { return a.value != b.value ? a.value > b.value : a.id < b.id; }

// A heap with the last in order at its root.
static void sift(candidate *heap, word at, word count) {
  for (word child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && before(heap[child], heap[child + 1])) child++;
    if (!before(heap[at], heap[child])) return;
    candidate swapped = heap[at];
    heap[at] = heap[child];
    heap[child] = swapped;
  }
}

static void sort(candidate *list, word count) {
  for (word i = count / 2 - 1; i >= 0; i--) sift(list, i, count);
  for (word left = count - 1; left > 0; left--) {
    candidate last = list[0];
    list[0] = list[left];
    list[left] = last;
    sift(list, 0, left);
  }
}

static void pick_beams(const pick_tokens_operation *o, word b, double *values, double normaliser, candidate *kept) {
  const word count = o->tokens.columns, vocabulary = o->logits.columns;
  apply_lists(o, b, values, 0, vocabulary, normaliser);
  for (word id = 0; id < count; id++) kept[id] = (candidate){values[id], (uint32_t)id};
  for (word i = count / 2 - 1; i >= 0; i--) sift(kept, i, count);
  for (word id = count; id < vocabulary; id++) {
    // Its id is larger than any that is kept: an equal value does not enter.
    if (!(values[id] > kept[0].value)) continue;
    kept[0] = (candidate){values[id], (uint32_t)id};
    sift(kept, 0, count);
  }
  sort(kept, count);
  for (word i = 0; i < count; i++) {
    row_u32(&o->tokens, b)[i] = kept[i].id;
    row_f32(&o->scores, b)[i] = (float)(kept[i].value - normaliser);
  }
}

// A row that is sampled from. Weights are relative to the largest value's: e^((value - top) / temperature).
typedef struct {
  const double *values;
  word vocabulary;
  double top, per_degree, per_bucket;
  histogram *all;
  candidate *sorted;
  word sorted_bucket, sorted_count;
} draw;

static inline double exponent(const draw *d, double value) { return (value - d->top) * d->per_degree; }

// Never falls as values fall.
static inline word bucket_of(const draw *d, double exponent) {
  const double place = -exponent * d->per_bucket;
  return place < BUCKETS - 1 ? (word)place : BUCKETS - 1;
}

static void fill_histogram(draw *d) {
  memset(d->all, 0, sizeof *d->all);
  for (word first = 0; first < d->vocabulary; first += LANES) {
    const word count = d->vocabulary - first < LANES ? d->vocabulary - first : LANES;
    float some[LANES] = {0};
    for (word i = 0; i < count; i++) some[i] = (float)exponent(d, d->values[first + i]);
    const lanes_f32 weights = exp_lanes(load_lanes(some));
    store_lanes(some, weights);
    for (word i = 0; i < count; i++) {
      const double value = d->values[first + i];
      if (!(value > -INFINITY)) continue;
      const word bucket = bucket_of(d, exponent(d, value));
      d->all->weight[bucket] += some[i];
      d->all->count[bucket]++;
    }
  }
}

// The values of a bucket in falling order.
static const candidate *in_order(draw *d, word bucket) {
  if (d->sorted_bucket == bucket) return d->sorted;
  word count = 0;
  for (word id = 0; id < d->vocabulary; id++) {
    const double value = d->values[id];
    if (value > -INFINITY && bucket_of(d, exponent(d, value)) == bucket) {
      d->sorted[count++] = (candidate){value, (uint32_t)id};
    }
  }
  sort(d->sorted, count);
  d->sorted_bucket = bucket;
  return d->sorted;
}

static uint32_t sample(draw *d, const float *settings) {
  const histogram *all = d->all;
  // Kept are all buckets before `last`, and its first `some` values.
  word last = 0, some, finite = 0;
  double total = 0, sum = 0;
  for (word i = 0; i < BUCKETS; i++) {
    finite += all->count[i];
    total += all->weight[i];
    if (all->count[i]) last = i;
  }
  some = all->count[last];
  if (settings[TOP_K] > 0 && settings[TOP_K] < finite) {
    word left = (word)settings[TOP_K];
    if (left < 1) left = 1;
    total = 0;
    for (last = 0; all->count[last] < left; last++) left -= all->count[last], total += all->weight[last];
    some = left;
    const candidate *sorted = in_order(d, last);
    for (word i = 0; i < some; i++) total += exp(exponent(d, sorted[i].value));
  }
  if (settings[TOP_P] < 1) {
    const double wanted = settings[TOP_P] * total;
    word bucket = 0, enough = 0;
    while (bucket < last && sum + all->weight[bucket] < wanted) sum += all->weight[bucket++];
    const word most = bucket == last ? some : all->count[bucket];
    const candidate *sorted = in_order(d, bucket);
    while (enough < most && (sum < wanted || enough == 0)) sum += exp(exponent(d, sorted[enough++].value));
    last = bucket;
    some = enough;
    total = sum;
  }
  const double passed = settings[DRAW] * total;
  sum = 0;
  for (word bucket = 0; bucket <= last; bucket++) {
    const word most = bucket == last ? some : all->count[bucket];
    if (bucket < last && !(sum + all->weight[bucket] > passed)) {
      sum += all->weight[bucket];
      continue;
    }
    const candidate *sorted = in_order(d, bucket);
    for (word i = 0; i < most; i++) {
      sum += exp(exponent(d, sorted[i].value));
      if (sum > passed) return sorted[i].id;
    }
  }
  return in_order(d, last)[some - 1].id;
}

static void pick_row(const lane *lane, word b) {
  const pick_tokens_operation *o = &lane->operation->pick_tokens;
  const float *logits = row_f32(&o->logits, b), *settings = row_f32(&o->settings, b);
  const slice *slices = slices_at(lane, b);
  const word count = slices_of(o), vocabulary = o->logits.columns;
  uint8_t *own = (uint8_t *)slices_at(lane, o->logits.rows) + lane->index * lane_bytes(o);
  candidate *candidates = (candidate *)(own + sizeof(histogram));
  double *values = values_of(lane, b);
  uint32_t *tokens = row_u32(&o->tokens, b);
  float *scores = row_f32(&o->scores, b), top = -INFINITY;
  for (word i = 0; i < o->tokens.columns; i++) tokens[i] = NO_TOKEN, scores[i] = NAN;
  double sum = 0;
  const slice *best = slices;
  for (word i = 0; i < count; i++) {
    if (slices[i].nan) return;
    if (slices[i].top > top) top = slices[i].top;
    if (slices[i].best > best->best) best = &slices[i];
  }
  for (word i = 0; i < count; i++) {
    if (slices[i].top > -INFINITY) sum += slices[i].sum * exp((double)slices[i].top - top);
  }
  const double normaliser = top + log(sum);
  if (settings[BEAMS]) {
    pick_beams(o, b, values, normaliser, candidates);
    return;
  }
  tokens[0] = best->best_id;
  // With a value of infinity there is nothing to draw, and with none above -infinity nothing to draw from.
  if (settings[TEMPERATURE] != 0 && best->best > -INFINITY && best->best < INFINITY) {
    draw d = {.values = values, .vocabulary = vocabulary, .top = best->best, .per_degree = 1.0 / settings[TEMPERATURE],
              .all = (histogram *)own, .sorted = candidates, .sorted_bucket = -1};
    double lowest = d.top;
    for (word id = 0; id < vocabulary; id++) {
      if (values[id] < lowest && values[id] > -INFINITY) lowest = values[id];
    }
    // Beyond e^-50 weights are all the same: none.
    const double span = -exponent(&d, lowest);
    d.per_bucket = span > 0 ? (BUCKETS - 1) / (span < 50 ? span : 50) : 0;
    fill_histogram(&d);
    tokens[0] = sample(&d, settings);
  }
  scores[0] = (float)(logits[tokens[0]] - normaliser);
}

void KERNEL(pick_tokens)(const lane *lane) {
  const pick_tokens_operation *o = &lane->operation->pick_tokens;
  const word slices = slices_of(o);
  word first, end;
  while (claim(lane, 0, o->logits.rows * slices, 1, &first, &end)) read_slice(lane, first / slices, first % slices);
  lane_barrier(lane);
  while (claim(lane, 1, o->logits.rows, 1, &first, &end)) pick_row(lane, first);
}

word KERNEL(pick_tokens_workspace)(const pick_tokens_operation *operation, word fast, int lanes) {
  (void)fast;
  const word row = operation->logits.columns * (word)sizeof(double) + slices_of(operation) * (word)sizeof(slice);
  return operation->logits.rows * row + lanes * lane_bytes(operation);
}
