#!/usr/bin/env bash
# Coordinate checks of every table on the probe (8 inputs, 3 outputs, 8 examples), 4 layers, tanh, 16 seeds.
# Right tables pass, wrong tables fail. Writes results/check_*.json and results/coordinate_checks.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
WIDTHS="128 256 512 1024"
mkdir -p results
exec > >(tee results/coordinate_checks.log) 2>&1
check() {
  local name=$1
  shift
  echo; echo "## $name: widthwise check $*"
  local began=$SECONDS
  $W check --depth 4 --widths $WIDTHS --seeds 16 --json "results/check_$name.json" "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
python=${PYTHON:-python3}
# Backprop's rates at gamma_bar -1: predictive coding's table there, its rates replaced by backprop's.
$W table --algorithm pc --parameterization mup --gamma-bar -1 --json results/pc.json >/dev/null
$W table --algorithm bp --parameterization mup --json results/bp.json >/dev/null
$python - <<'PY'
import json
pc, bp = (json.load(open(f"results/{name}.json")) for name in ("pc", "bp"))
for role, row in pc["roles"].items():
    row["c"] = bp["roles"][role]["c"]
    del row["powers"]
json.dump(pc, open("results/bp_rates_at_gamma_bar_-1.json", "w"), indent=1)
PY
rm results/pc.json results/bp.json
for optimizer in sgd adam; do
  for r in 0 1/4 1/2; do
    check "bp_r${r/\//_}_$optimizer" --algorithm bp --parameterization richness --richness $r --optimizer $optimizer
  done
  for gamma in 0 -1/2 -1; do
    small=$([ "$gamma" = -1 ] && echo 1 || echo 0.015625)
    check "pc_gamma_bar${gamma/\//_}_$optimizer" --algorithm pc --parameterization mup --gamma-bar $gamma \
      --optimizer $optimizer --output-precision $small --iterations 30
  done
  check "sp_bp_$optimizer" --algorithm bp --parameterization sp --optimizer $optimizer
done
# The transient of gamma' = 1: ||C|| has not reached its limit at these widths (docs/theory.md B2).
for gamma in 0 -1/2; do
  check "pc_gamma_bar${gamma/\//_}_sgd_precision_1" --algorithm pc --parameterization mup --gamma-bar $gamma --iterations 30
done
check "sp_pc_sgd" --algorithm pc --parameterization sp --iterations 30
check "bp_rates_at_gamma_bar_-1" --algorithm pc --parameterization results/bp_rates_at_gamma_bar_-1.json --iterations 30
