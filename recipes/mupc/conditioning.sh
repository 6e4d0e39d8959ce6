#!/usr/bin/env bash
# Condition number of inference: (a) at initialization, linear networks, 5 seeds, beside docs/theory.md E; (b) while
# networks are trained on digits with Adam, settled predictive coding, tanh, residual. Writes results/init_*.json,
# results/trained_*.json and .png and results/conditioning_init.log, _trained.log. `conditioning.sh init` and
# `conditioning.sh trained` do one part. The Hessian does not see the input layer: digits' 64 inputs serve for
# docs/theory.md's 16. The second part has not yet been run whole: results/conditioning_trained_parts.log holds muPC, at
# rate 0.03 and at 0.1, where ||C|| has fallen below 1e-3 by step 1000 and PC is backprop, and SP at width 64;
# results/conditioning_trained_sp_128.log SP at width 128.
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
exec > >(tee "results/conditioning_$PART.log") 2>&1
measure() {
  local name=$1
  shift
  echo; echo "## $name: widthwise theory conditioning $*"
  local began=$SECONDS
  $W theory conditioning --json "results/$name.json" "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
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
  echo; echo "## beside docs/theory.md E"
  $PYTHON conditioning_table.py
fi
if [ "$PART" = trained ]; then
  TRAIN="--network residual_mlp --activation tanh --train-steps 0 100 300 1000 --batch-size 16"
  measure trained_mupc $TRAIN --parameterization mupc --rate 0.03 --widths 64 128 256 512 --depths 8 16 32 64 \
    --out results/trained_mupc.png
  measure trained_sp $TRAIN --parameterization sp --rate 0.001 --widths 64 128 256 --depths 8 16 32 \
    --out results/trained_sp.png
  measure trained_sp_depth_64 $TRAIN --parameterization sp --rate 0.001 --widths 64 --depths 64
  measure trained_sp_width_512 $TRAIN --parameterization sp --rate 0.001 --widths 512 --depths 8 16
fi
