#!/usr/bin/env bash
# Accuracy on Fashion-MNIST after 5 epochs at width 512, the rate found at width 128 (one epoch, one seed): BP and PC at
# output precision 1, MSE and cross-entropy, silu and, beside it, relu. Writes results/accuracy_*.json and the log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
PYTHON=${PYTHON:-python3}
mkdir -p results
exec > >(tee results/accuracy_fashion_mnist.log) 2>&1
for activation in silu relu; do
  for loss in mse ce; do
    for algorithm in bp pc; do
      name=${activation}_${loss}_$algorithm
      settle=$([ "$algorithm" = pc ] && echo "--relaxation error --iterations 30")
      shared="--data fashion_mnist --network mlp --depth 3 --activation $activation --loss $loss --algorithm $algorithm
        $settle --parameterization mup --optimizer adam --schedule linear"
      echo; echo "## $name"
      $W transfer $shared --width 128 --epochs 1 --seeds 1 --log2-rates -12 -5 1 --json results/tuned_$name.json | sed -n 1,3p
      rate=$($PYTHON -c "import json; print(2 ** json.load(open('results/tuned_$name.json'))['summary'][0]['optimum_log2'][0])")
      $W train $shared --width 512 --rate "$rate" --epochs 5 --json "results/accuracy_$name.json"
      echo "load $(cut -d' ' -f1 /proc/loadavg)"
    done
  done
done
