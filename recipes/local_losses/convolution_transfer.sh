#!/usr/bin/env bash
# Transfer over channels: largest stable rate of cnn and vgg on digits, BP and PC, SP beside muP, SGD. The output
# precision of PC is small, so that the curvature of inference, 11 at 16 channels and precision 1, is no part of it.
# `convolution_transfer.sh cnn` and `vgg` do one network. Writes results/convolution_transfer_*.log and *.json.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
swept() { # network, algorithm, log2 rates
  local command="transfer --data digits --network $1 --parameterization sp mup --algorithm $2 --widths 16 32 64 128
    --log2-rates $3 --seeds 2 --steps 40 --batch-size 64 --json results/convolution_transfer_$1_${2%% *}.json"
  echo "## widthwise" $command
  local began=$SECONDS
  $W $command 2> /dev/null
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
  echo
}
for network in ${*:-cnn vgg}; do
  {
    swept "$network" bp "-5 4 0.5"
    swept "$network" "pc --output-precision 0.015625 --iterations 8" "1 10 0.5"
  } 2>&1 | tee "results/convolution_transfer_$network.log"
done
