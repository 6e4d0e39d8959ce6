#!/usr/bin/env bash
# Transfer of the weight and activity rates of residual muPC networks on Fashion-MNIST (6 400 examples, 200 steps), over
# depths 8 to 128 at width 128 and widths 64 to 512 at depth 16: the role-wise Adam rule with both rates swept jointly, and
# for comparison the published rules where each is said to drift, constant Adam over depth and the uniform 1/sqrt(NL) over
# width; `rules` sets the uniform rule beside the role-wise one in half steps and with more seeds, `shallow` runs the uniform
# rule so at depth 4, where less of what is learned is the hidden layers'. Inference: error descent at gamma_L = 0.1 N / L,
# whose step hardly matters once it has settled; `activity` has the field's own instead, T = L steps of activity descent at
# gamma_L = 1, where the activity rate says how far errors come: a sweep for each size, T being another.
# Writes results/transfer_*.json and results/transfer_rates.log.
# ACTIVATIONS="tanh" runs one activation only, SWEEPS="depth width constant uniform rules shallow activity" some of the sweeps,
# SIZES="128x64" some of `activity`'s.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
mkdir -p results
exec > >(tee -a results/transfer_rates.log) 2>&1
shared="--data fashion_mnist --examples 6400 --steps 200 --network residual_mlp --algorithm pc --optimizer adam
  --seeds 2"
SETTLED="--gamma-bar -1 --output-precision 0.8 --relaxation error --iterations 8"
sweep() {
  local name=$1
  shift
  echo; echo "## $name: widthwise transfer" $shared "$@"
  local began=$SECONDS
  $W transfer $shared --json "results/transfer_$name.json" "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
DEPTHS="--depths 8 32 128 --width 128" WIDTHS="--widths 64 128 256 512 --depth 16"
for activation in ${ACTIVATIONS:-tanh relu}; do
  # tanh ran first, and its ends lay far from every optimum: relu's grid leaves them out.
  grid=$([ "$activation" = tanh ] && echo "--log2-rates -7 -2 1 --log2-activity-rates -2 2 1" ||
    echo "--log2-rates -7 -3 1 --log2-activity-rates -2 1 1")
  JOINT="--parameterization mupc $grid"
  for name in ${SWEEPS:-depth width constant uniform rules shallow activity}; do
    if [ "$name" = activity ]; then
      for size in ${SIZES:-128x8 128x16 64x16 128x32 256x16 512x16 128x64 128x128}; do
        sweep "${activation}_activity_$size" --activation "$activation" --widths "${size%x*}" --depth "${size#*x}" \
          --parameterization mupc --relaxation descent --iterations "${size#*x}" --log2-rates -5 -2 1 \
          --log2-activity-rates -3 -1 1
      done
      continue
    fi
    case $name in
      depth) flags="$DEPTHS $JOINT" ;;
      width) flags="$WIDTHS $JOINT" ;;
      constant) flags="$DEPTHS --parameterization mupc_constant --log2-rates -12 -3 1" ;;
      uniform) flags="$WIDTHS --parameterization mupc_uniform --log2-rates -12 -3 1" ;;
      rules) flags="--widths 64 512 --depth 16 --parameterization mupc mupc_uniform --log2-rates -6.5 -2 0.5 --seeds 4" ;;
      shallow) flags="--widths 64 512 --depth 4 --parameterization mupc_uniform --log2-rates -8 -1 0.5 --seeds 4" ;;
      *) echo "no sweep $name"; exit 2 ;;
    esac
    sweep "${activation}_$name" $SETTLED --activation "$activation" $flags
  done
done
