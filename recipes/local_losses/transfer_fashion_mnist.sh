#!/usr/bin/env bash
# Transfer of the base rate over widths 64 to 1024 on Fashion-MNIST (6 400 examples, 100 steps, 3 layers, tanh, 2 seeds).
# Writes results/transfer_*.json and results/transfer_fashion_mnist.log. Needs results/bp_rates_at_gamma_bar_-1.json from
# coordinate_checks.sh.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
mkdir -p results
exec > >(tee results/transfer_fashion_mnist.log) 2>&1
sweep() {
  local name=$1
  shift
  echo; echo "## $name: $*"
  local began=$SECONDS
  $W transfer --data fashion_mnist --examples 6400 --network mlp --depth 3 --activation tanh --widths 64 128 256 512 1024 \
    --seeds 2 --steps 100 --batch-size 64 --json "results/transfer_$name.json" "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
sweep bp_sgd --algorithm bp --parameterization mup --optimizer sgd --log2-rates -7 2 0.5
sweep pc_gamma_bar_-1 --algorithm pc --parameterization mup --optimizer sgd --gamma-bar -1 --log2-rates -7 2 0.5
sweep pc_gamma_bar_0 --algorithm pc --parameterization mup --optimizer sgd --gamma-bar 0 --log2-rates -7 2 0.5
sweep pc_bp_rates_at_-1 --algorithm pc --parameterization results/bp_rates_at_gamma_bar_-1.json --log2-rates -9 2 0.5
sweep adam_bp --algorithm bp --parameterization sp mup --optimizer adam --log2-rates -14 3 1 --seeds 3
# The input layer's 784 pixels weigh as much as a hidden layer of that width, and its SP rate needs no scaling: SP's
# optimum under Adam moves as the hidden layers come to dominate, further in a deeper network.
sweep adam_bp_depth_6 --depth 6 --algorithm bp --parameterization sp mup --optimizer adam --widths 64 256 1024 --log2-rates -14 -5 1
