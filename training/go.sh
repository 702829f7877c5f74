#!/bin/sh
# A stretch of training on a GPU machine, in one call: go.sh SECONDS BEGIN RESUME [SECONDS_TO_MEASURE] [SEED]
# Trains, writes the weights in parts to $OUT, then measures. Needs .carry/assets and, to measure, .carry/second. Leaves cores 14 and 15 free.
set -u
cd "$(dirname "$0")"
measure=${4:-100}
taskset -c 0-13 python3 -u train.py --compile --workers 11 --seconds "$1" --begin "$2" --end 1 --out /tmp/state --resume "$3" --seed "${5:-1}" > "$OUT/train.txt" 2>&1
grep -v Warning "$OUT/train.txt" | tail -3 | cut -c1-400
python3 export.py /tmp/state/state.pt ../models/demo || exit 1
split -b 15m ../models/demo/model.safetensors "$OUT/model.safetensors.part-"
timeout "$measure" taskset -c 0-3 python3 -u evaluate.py ../models/demo --out "$OUT/fonts.json" --each 100 --splits fonts --workers 4 \
  --skills word number "chart value" "chart title" form &
timeout "$measure" taskset -c 4-13 python3 -u evaluate.py ../models/demo --out "$OUT/all.json" --each 150 --splits seeds --sets ../.carry/second --workers 10 &
wait
