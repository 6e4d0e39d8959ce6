#!/usr/bin/env bash
# Transfer of the weight and activity rates of residual muPC networks on Fashion-MNIST (6 400 examples, 200 steps), over
# widths 64 to 512 at depth 16 and depths 8 to 128 at width 128: the role-wise Adam rule with both rates swept jointly, and
# the two published rules for comparison. Inference: error descent at gamma_L = 0.1 N / L. Writes results/transfer_*.json
# and results/transfer_rates.log. ACTIVATIONS="tanh" runs one activation only.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
mkdir -p results
exec > >(tee -a results/transfer_rates.log) 2>&1
shared="--data fashion_mnist --examples 6400 --steps 200 --network residual_mlp --algorithm pc --optimizer adam
  --gamma-bar -1 --output-precision 0.8 --relaxation error --iterations 8 --seeds 2"
sweep() {
  local name=$1
  shift
  echo; echo "## $name: widthwise transfer" $shared "$@"
  local began=$SECONDS
  $W transfer $shared --json "results/transfer_$name.json" "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
for activation in ${ACTIVATIONS:-tanh relu}; do
  for axis in depth width; do
    sizes=$([ $axis = depth ] && echo "--depths 8 16 32 64 128 --width 128" || echo "--widths 64 128 256 512 --depth 16")
    sweep "${activation}_${axis}_mupc" --activation "$activation" $sizes --parameterization mupc \
      --log2-rates -8 -3 1 --log2-activity-rates -3 1 1
    sweep "${activation}_${axis}_published" --activation "$activation" $sizes \
      --parameterization mupc_constant mupc_uniform --log2-rates -12 -2 1
  done
done
