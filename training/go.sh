#!/bin/sh
# A stretch of training on a GPU machine that lasts over several calls: go.sh start SECONDS BEGIN END RESUME, go.sh watch SECONDS, go.sh measure.
# The training runs in a session of its own in /tmp/run; logs and weights go to $OUT.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
run=/tmp/run/training
case $1 in
start)
  mkdir -p /tmp/run /tmp/state
  cp -r "$here" "$here/../models" /tmp/run/
  mkdir -p /tmp/run/.carry && tar xJf "$here/../.carry/train/assets.txz" -C /tmp/run/.carry
  python3 "$here/unpack_photographs.py" /tmp/run/.carry/assets/photographs
  cd $run
  setsid taskset -c 0-13 python3 -u train.py --compile --workers 11 --seconds "$2" --begin "$3" --end "$4" --out /tmp/state --resume "$5" > /tmp/state/train.txt 2>&1 &
  ;;
watch)
  end=$(($(date +%s) + $2))
  while [ "$(date +%s)" -lt "$end" ]; do
    if ! pgrep -f train.py > /dev/null; then tail -30 /tmp/state/train.txt | cut -c1-600; break; fi
    sleep 2
  done
  tail -4 /tmp/state/train.txt | cut -c1-400
  cp /tmp/state/train.txt /tmp/state/log.jsonl "$OUT/"
  ;;
weights)
  cd $run
  python3 export.py /tmp/state/state.pt ../models/demo
  split -b 15m ../models/demo/model.safetensors "$OUT/model.safetensors.part-"
  ;;
esac
