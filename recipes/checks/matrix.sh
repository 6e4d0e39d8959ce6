#!/usr/bin/env bash
# All parts of matrix.py, two at a time, one a core. Writes results/*.log anew.
set -uo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
export OPENBLAS_NUM_THREADS=1
mkdir -p results
rm -f results/*.log
began=$SECONDS
($PYTHON matrix.py mlp; $PYTHON matrix.py images) >/dev/null &
($PYTHON matrix.py residual_mlp; $PYTHON matrix.py wrong) >/dev/null &
wait
tail -qn 2 results/mlp.log results/residual_mlp.log results/images.log results/wrong.log | grep rows
echo "whole matrix: $((SECONDS - began)) s"
