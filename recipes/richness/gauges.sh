#!/usr/bin/env bash
# Two gauges trained side by side in float64: the largest difference of their outputs over 8 steps, 1e-12 at most.
#     recipes/richness/gauges.sh > recipes/richness/results/gauges.log
set -eu
widthwise=${WIDTHWISE:-widthwise}
show() {
  echo "\$ widthwise gauge $*"
  "$widthwise" gauge "$@" | tail -n 2
}
# No power of two times the base: roundings differ.
show --parameterization mup --gauge rescaling --width 100 --prove
show --parameterization richness --richness 1/4 --optimizer adam --moves input=1/3 hidden=-1/2 output=3/4 --width 100 --prove
show --algorithm pc --gamma-bar -1 --parameterization mup --gauge mup --width 100 --prove
show --algorithm pc --gamma-bar -1 --network residual_mlp --parameterization mupc --optimizer adam --depth 12 \
  --moves branch=1/2,-1 output=-1/2 --width 100 --prove
