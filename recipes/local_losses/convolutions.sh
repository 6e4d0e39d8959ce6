#!/usr/bin/env bash
# Convolutional networks of Fashion-MNIST: accuracy after 5 epochs of 20 000 images, rates tuned over one epoch on a
# validation split: backprop's, which predictive coding takes over, and target propagation's own. The output precision is
# small enough for inference to settle in a few sweeps (the log begins with vgg at 0.1, where it does not).
# `convolutions.sh cnn`, `vgg` and `residual_cnn` do one network. Appends to results/convolutions_accuracy.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
COMMON="--data fashion_mnist --examples 20000 --optimizer adam --activation relu --loss ce --schedule linear"
power() { awk "BEGIN { printf \"%.12g\", 2 ^ $1 }"; }
shown() { grep -E "^(test_accuracy|validation_accuracy|train_seconds|cosine|settled)" | tr -s ' ' | tr '\n' ' '; }
tuned() { # network, algorithm, log2 rates; leaves the best rate in $rate
  local best=-1 found log2
  for log2 in $3; do
    found=$($W train $COMMON --network $1 --algorithm $2 --validation 4000 --epochs 1 --rate "$(power "$log2")" 2> /dev/null | grep validation | tr -s ' ' | cut -d' ' -f2)
    echo "$1 $2 2^$log2: validation $found"
    if awk "BEGIN { exit !($found > $best) }"; then best=$found; rate=$(power "$log2"); fi
  done
}
accuracy() { # network, algorithm
  echo "$1 $2, rate $rate, load $(cut -d' ' -f1 /proc/loadavg)"
  $W train $COMMON --network $1 --algorithm $2 --epochs 5 --rate "$rate" 2>&1 | shown
  echo
}
whole() { # network, output precision, rates of backprop, rates of target propagation
  tuned "$1" bp "$3"
  accuracy "$1" bp
  accuracy "$1" "pc --output-precision $2 --relaxation error --iterations 8"
  if [ -n "$4" ]; then tuned "$1" dtp "$4"; accuracy "$1" dtp; fi
}
exec > >(tee -a results/convolutions_accuracy.log) 2>&1
for network in ${*:-cnn vgg residual_cnn}; do
  case $network in
    cnn) whole "cnn --width 32" 0.1 "-7 -6 -5 -4" "-9 -8 -7 -6" ;;
    vgg) whole "vgg --width 16" 0.01 "-7 -6 -5 -4" "-9 -8 -7 -6" ;;
    residual_cnn) whole "residual_cnn --width 32 --depth 10 --stride 4 --readout flatten --parameterization mupc" 0.01 "-5 -4 -3 -2" "" ;;
  esac
done
