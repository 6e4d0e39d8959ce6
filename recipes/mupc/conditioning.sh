#!/usr/bin/env bash
# Condition number of inference: (a) at initialization, linear networks, 5 seeds, beside docs/theory.md E; (b) while
# networks are trained on digits with Adam, settled predictive coding, tanh, residual. Writes results/init_*.json,
# results/trained_*.json and .png and results/conditioning_init.log, _trained.log. `conditioning.sh init` and
# `conditioning.sh trained` do one part. The Hessian does not see the input layer: digits' 64 inputs serve for
# docs/theory.md's 16. SP's networks are settled by `auto`: error descent leaves half of them unsettled after 200 iterations
# from depth 32 on. Widths and depths of SP are a run each, smallest first; SP="256x32 512x64" runs only these, and appends.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
PYTHON=${PYTHON:-python3}
PART=${1:-all}
if [ "$PART" = all ]; then
  "./$(basename "$0")" init
  "./$(basename "$0")" trained
  exit
fi
mkdir -p results
LOG=results/conditioning_$PART.log
source ./logged.sh
measure() {
  logged "$LOG" timed "$1" theory conditioning --json "results/$1.json" "${@:2}"
}
table() {
  echo; echo "## beside docs/theory.md E"
  $PYTHON conditioning_table.py
}
if [ "$PART" = init ]; then
  LINEAR="--activation linear --dtype float64 --seeds 5 --batch-size 8"
  for kind in residual plain; do
    network=$([ $kind = residual ] && echo residual_mlp || echo mlp)
    for gain in "" _gain; do
      # Equinox's default draws U(-1/sqrt(N), 1/sqrt(N)), of variance 1/(3 N): SP with a gain of 1/sqrt(3).
      tables=$([ -z "$gain" ] && echo "mupc sp" || echo "sp --gain 0.5773502691896258")
      shared="$LINEAR --network $network --parameterization $tables"
      measure "init_$kind$gain" $shared --widths 32 128 --depths 4 8 16 32 64
      measure "init_$kind${gain}_512" $shared --widths 512 --depths 4 8 16
    done
  done
  for width in 32 128 512; do
    depths=$([ $width = 512 ] && echo 4 8 16 || echo 4 8 16 32 64)
    measure "init_residual_precision_N_$width" $LINEAR --network residual_mlp --parameterization mupc --widths $width \
      --depths $depths --output-precision $width
  done
  logged "$LOG" table
fi
if [ "$PART" = trained ]; then
  TRAIN="--network residual_mlp --activation tanh --train-steps 0 100 300 1000 --batch-size 16"
  [ -n "${SP:-}" ] || measure trained_mupc $TRAIN --parameterization mupc --rate 0.03 --widths 64 128 256 512 \
    --depths 8 16 32 64 --out results/trained_mupc.png
  for size in ${SP:-64x8 64x16 128x8 128x16 256x8 64x32 512x8 256x16 128x32 64x64 512x16 256x32 128x64 512x32 256x64 512x64}; do
    measure "trained_sp_${size/x/_}" $TRAIN --parameterization sp --rate 0.001 --widths "${size%x*}" --depths "${size#*x}" \
      --relaxation auto
  done
fi
