#!/usr/bin/env bash
# Coordinate slopes of a 3-layer MLP to width 8192: backprop, PC (γ' = 1/64) and DTP, SGD, muP, few seeds.
# Writes results/widest.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
mkdir -p results
for rule in "bp --seeds 4" "pc --output-precision 0.015625 --iterations 30 --seeds 4" "dtp --ridge 0.01 --seeds 16"; do
  command="check --algorithm $rule --depth 3 --widths 1024 2048 4096 8192"
  echo "## widthwise $command"
  began=$SECONDS
  $W $command
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
  echo
done 2>&1 | tee results/widest.log
