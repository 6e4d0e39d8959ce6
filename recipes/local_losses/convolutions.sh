#!/usr/bin/env bash
# Convolutional networks of Fashion-MNIST: accuracy after 5 epochs of 20 000 images, rates tuned over one epoch by
# backprop on a validation split and used by every algorithm. Writes results/convolutions_accuracy.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
RESULTS=$PWD/results
COMMON="--data fashion_mnist --examples 20000 --optimizer adam --activation relu --loss ce --schedule linear"
exec > >(tee "$RESULTS/convolutions_accuracy.log") 2>&1
shown() { grep -E "^(test_accuracy|validation_accuracy|train_seconds|cosine|settled)" | tr -s ' ' | tr '\n' ' '; }
for network in "cnn --width 32" "vgg --width 16" "residual_cnn --width 32 --depth 10 --stride 4 --parameterization mupc"; do
  best=0; rate=0
  for log2 in -7 -6 -5 -4; do
    found=$($W train $COMMON --network $network --validation 4000 --epochs 1 --rate "$(python3 -c "print(2**$log2)")" 2> /dev/null | grep validation | tr -s ' ' | cut -d' ' -f2)
    echo "$network bp 2^$log2: validation $found"
    if python3 -c "exit(not ($found > $best))"; then best=$found; rate=$(python3 -c "print(2**$log2)"); fi
  done
  for algorithm in "bp" "pc --output-precision 0.1 --relaxation error --iterations 8" "dtp"; do
    case "$network $algorithm" in residual*dtp) continue ;; esac
    echo "$network $algorithm, rate $rate, load $(cut -d' ' -f1 /proc/loadavg)"
    $W train $COMMON --network $network --algorithm $algorithm --epochs 5 --rate "$rate" 2>&1 | shown
    echo
  done
done
