#!/usr/bin/env bash
# Transfer of the weight and activity rates of residual muPC networks on Fashion-MNIST (6 400 examples, 200 steps), over
# depths 8 to 128 at width 128 and widths 64 to 512 at depth 16: the role-wise Adam rule with both rates swept jointly,
# and for comparison the published rules where each is said to drift, constant Adam over depth and the uniform
# 1/sqrt(NL) over width.
# `rules` sets the uniform rule beside the role-wise one in half steps and with more seeds, `shallow` runs the uniform
# rule so at depth 4, where less of what is learned is the hidden layers'; `seeds` and `uniform_seeds` run the role-wise
# rule over depth and the uniform one over width with six seeds. `hidden` and `hidden_shallow` slow the hidden layers by
# sqrt(N), where the uniform rule slows input and readout: the two drifts say whose rate the optimum follows.
# Inference: error descent at gamma_L = 0.1 N / L, whose step hardly matters once it has settled; `activity` has the
# field's own instead, T = L steps of activity descent at gamma_L = 1, where the activity rate says how far errors come:
# a sweep for each size, T being another.
# Writes results/transfer_*.json and results/transfer_rates.log. ACTIVATIONS="tanh" runs one activation only,
# SWEEPS="depth hidden" some of the sweeps (the loop below has their names), SIZES="128x64" some of `activity`'s.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
mkdir -p results
shared="--data fashion_mnist --examples 6400 --steps 200 --network residual_mlp --algorithm pc --seeds 2"
SETTLED="--output-precision 0.8 --relaxation error --iterations 8"
RULE="--optimizer adam --gamma-bar -1"
source ./logged.sh
sweep() {
  logged results/transfer_rates.log timed "$1" transfer $shared --json "results/transfer_$1.json" "${@:2}"
}
DEPTHS="--depths 8 32 128 --width 128" WIDTHS="--widths 64 128 256 512 --depth 16" ENDS="--widths 64 512"
SLOWED="--parameterization results/hidden_slowed.json"
# The uniform rule's table, its width exponents moved from input, readout and their biases to the hidden layers.
slowed_hidden() {
  $W table --algorithm pc --parameterization mupc_uniform $RULE --json results/hidden_slowed.json >/dev/null
  ${PYTHON:-python3} - <<'PY'
import json
from pathlib import Path
path = Path("results/hidden_slowed.json")
table = json.loads(path.read_text()) | {"name": "hidden_slowed"}
slowed = dict(hidden=1, branch=1, branch_bias=1, branch_norm=1)
for role, c in (slowed | dict(input=0, output=0, hidden_bias=0, output_bias=0, norm=0)).items():
    row = table["roles"][role]
    row["c"], row["powers"]["rate"]["width"] = str(c), str(-c)
path.write_text(json.dumps(table, indent=1))
PY
}
for activation in ${ACTIVATIONS:-tanh relu}; do
  # tanh ran first, and its ends lay far from every optimum: relu's grid leaves them out.
  grid=$([ "$activation" = tanh ] && echo "--log2-rates -7 -2 1 --log2-activity-rates -2 2 1" ||
    echo "--log2-rates -7 -3 1 --log2-activity-rates -2 1 1")
  JOINT="--parameterization mupc $grid"
  for name in ${SWEEPS:-depth width constant uniform rules shallow seeds uniform_seeds hidden hidden_shallow activity}; do
    if [ "$name" = activity ]; then
      for size in ${SIZES:-128x8 128x16 64x16 128x32 256x16 512x16 128x64 128x128}; do
        sweep "${activation}_activity_$size" --activation "$activation" --widths "${size%x*}" --depth "${size#*x}" \
          --optimizer adam --parameterization mupc --relaxation descent --iterations "${size#*x}" --log2-rates -5 -2 1 \
          --log2-activity-rates -3 -1 1
      done
      continue
    fi
    case $name in
      depth) flags="$RULE $DEPTHS $JOINT" ;;
      width) flags="$RULE $WIDTHS $JOINT" ;;
      constant) flags="$RULE $DEPTHS --parameterization mupc_constant --log2-rates -12 -3 1" ;;
      uniform) flags="$RULE $WIDTHS --parameterization mupc_uniform --log2-rates -12 -3 1" ;;
      rules) flags="$RULE $ENDS --depth 16 --parameterization mupc mupc_uniform --log2-rates -6.5 -2 0.5 --seeds 4" ;;
      shallow) flags="$RULE $ENDS --depth 4 --parameterization mupc_uniform --log2-rates -8 -1 0.5 --seeds 4" ;;
      seeds) flags="$RULE $DEPTHS --parameterization mupc --log2-rates -6.5 -3 0.5 --seeds 6" ;;
      uniform_seeds) flags="$RULE $ENDS --depth 16 --parameterization mupc_uniform --log2-rates -6.5 -2.5 0.5 --seeds 6" ;;
      hidden) slowed_hidden; flags="$ENDS --depth 16 $SLOWED --log2-rates -6.5 -2.5 0.5 --seeds 6" ;;
      hidden_shallow) slowed_hidden; flags="$ENDS --depth 4 $SLOWED --log2-rates -8 -1 0.5 --seeds 4" ;;
      *) echo "no sweep $name"; exit 2 ;;
    esac
    sweep "${activation}_$name" $SETTLED --activation "$activation" $flags
  done
done
rm -f results/hidden_slowed.json
