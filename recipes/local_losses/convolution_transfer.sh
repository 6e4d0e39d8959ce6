#!/usr/bin/env bash
# Transfer over channels: largest stable rate of cnn and vgg on digits, BP and PC, SP beside muP, SGD.
# Writes results/convolution_transfer.log and results/convolution_transfer_*.json.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
exec > >(tee results/convolution_transfer.log) 2>&1
for network in "cnn" "vgg --depth 5"; do
  command="transfer --data digits --network $network --parameterization sp mup --algorithm bp pc --widths 16 32 64 128
    --log2-rates -8 3 0.5 --seeds 2 --steps 40 --batch-size 64 --json results/convolution_transfer_${network%% *}.json"
  echo "## widthwise" $command; began=$SECONDS
  $W $command 2> /dev/null
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"; echo
done
