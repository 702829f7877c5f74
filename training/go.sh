#!/bin/sh
# One session on the device: go.sh SECONDS BEGIN END [RESUME]. The state stays in /tmp/state, results go to $OUT.
set -eu
cd "$(dirname "$0")"
python3 train.py --compile --seconds "$1" --begin "$2" --end "$3" --out /tmp/state ${4:+--resume "$4"} 2>&1 | cut -c1-260 > "$OUT/train.txt" || tail -30 "$OUT/train.txt"
tail -5 "$OUT/train.txt"
cp /tmp/state/log.jsonl "$OUT/log-$2.jsonl"
python3 export.py /tmp/state/state.pt ../models/demo
split -b 15m ../models/demo/model.safetensors "$OUT/model.safetensors.part-"
