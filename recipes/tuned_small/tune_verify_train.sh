#!/usr/bin/env bash
# Tune at width 128, verify the rate at width 1024, train there: predictive coding, muP, Adam, Fashion-MNIST (12 800
# examples, one epoch of 200 steps), 3 seeds. Writes results/*.json and results/tune_verify_train.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
mkdir -p results
exec > >(tee results/tune_verify_train.log) 2>&1
step() {
  echo; echo "## widthwise $*" | sed "s|$runs/||g"
  local began=$SECONDS
  $W "$@" | sed "s|$runs/||g"
  echo "exit code ${PIPESTATUS[0]}, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
step tune --data fashion_mnist --examples 12800 --epochs 1 --network mlp --depth 3 --activation tanh --algorithm pc \
  --parameterization mup --optimizer adam --schedule linear --width 128 --log2-rates -12 -5 1 --seeds 3 --runs 36 \
  --out "$runs/tuned" --json results/tuned.json
step transfer --verify "$runs/tuned" --widths 1024 --seeds 3 --out "$runs/verified" --json results/verified.json
for seed in 0 1 2; do
  step train --tuned "$runs/tuned" --width 1024 --seed $seed --json results/trained_$seed.json
done
echo; echo "$SECONDS s in all"
