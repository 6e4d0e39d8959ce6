#!/usr/bin/env bash
# Target propagation under its own muP, 4 layers, tanh, post-activations. `target_propagation.sh checks`: coordinate checks
# of TP and DTP, right and wrong, with ridge, trained and tied feedback. `target_propagation.sh accuracy`: Fashion-MNIST,
# width 512, 5 epochs, beside backprop; rates tuned on a validation split over one epoch. `target_propagation.sh trained`:
# trained feedback, its rate and the network's tuned over all 5 epochs. Writes results/target_propagation_PART.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
PYTHON=${PYTHON:-python3}
PART=${1:?checks, accuracy or trained}
mkdir -p results
exec > >(tee "results/target_propagation_$PART.log") 2>&1
check() {
  local name=$1
  shift
  echo; echo "## $name: widthwise check --depth 4 $*"
  local began=$SECONDS
  $W check --depth 4 "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
if [ "$PART" = checks ]; then
  WIDE="--widths 128 256 512 1024" RIDGE="--ridge 0.01"
  for algorithm in dtp tp; do
    check "${algorithm}_sgd" $WIDE --seeds 32 --algorithm $algorithm --parameterization mup $RIDGE
    check "${algorithm}_adam" $WIDE --seeds 16 --algorithm $algorithm --parameterization mup --optimizer adam $RIDGE
  done
  # Feedback learns 100 steps before the network's four: targets of random feedback are no targets.
  for feedback in "sgd 0.1" "adam 0.02"; do
    set -- $feedback
    check "dtp_trained_$1" --widths 256 512 1024 2048 --seeds 16 --algorithm dtp --parameterization mup --rate 0.005 \
      --feedback trained --feedback-optimizer "$1" --feedback-rate "$2" --feedback-pretrain 100 --noise 0 --steps 104
  done
  check dtp_tied $WIDE --seeds 16 --algorithm dtp --parameterization mup --feedback tied
  check dtp_sp $WIDE --seeds 16 --algorithm dtp --parameterization sp $RIDGE
  $W table --algorithm bp --parameterization mup --json results/bp_mup.json >/dev/null
  for ridge in 0.01 1e-8; do
    check "dtp_bp_mup_ridge_$ridge" $WIDE --seeds 16 --algorithm dtp --parameterization results/bp_mup.json --ridge $ridge
  done
  rm results/bp_mup.json
fi
if [ "$PART" = accuracy ]; then
  TRAIN="--data fashion_mnist --network mlp --depth 4 --width 512 --parameterization mup --optimizer adam
    --schedule linear"
  row() {
    local name=$1 best=0 found rate
    shift
    for rate in 0.0005 0.001 0.002 0.004 0.008; do
      $W train $TRAIN "$@" --rate $rate --epochs 1 --validation 10000 --json results/one.json >/dev/null || continue
      found=$($PYTHON -c 'import json; print(json.load(open("results/one.json"))["validation_accuracy"])')
      echo "$name, rate $rate, one epoch: validation $found"
      best=$(printf '%s %s\n%s\n' "$found" "$rate" "$best" | sort -g | tail -1)
    done
    rate=${best#* }
    echo; echo "## $name: widthwise train" $TRAIN "$@" --rate $rate --epochs 5
    $W train $TRAIN "$@" --rate $rate --epochs 5
    echo "load $(cut -d' ' -f1 /proc/loadavg)"; echo
  }
  row bp --algorithm bp
  row dtp_ridge --algorithm dtp --ridge 0.001
  row dtp_trained --algorithm dtp --feedback trained --feedback-optimizer adam --feedback-rate 0.003
  row tp_ridge --algorithm tp --ridge 1e-5
  rm -f results/one.json
fi
if [ "$PART" = trained ]; then
  TRAIN="--data fashion_mnist --network mlp --depth 4 --width 512 --parameterization mup --optimizer adam
    --schedule linear --epochs 5 --algorithm dtp --feedback trained --feedback-optimizer adam"
  best=0
  for rate in 0.001 0.002 0.003; do
    for feedback in 0.003 0.006; do
      $W train $TRAIN --rate $rate --feedback-rate $feedback --validation 10000 --json results/two.json > /dev/null
      found=$($PYTHON -c 'import json; print(json.load(open("results/two.json"))["validation_accuracy"])')
      echo "rate $rate, feedback rate $feedback: validation $found"
      best=$(printf '%s %s %s\n%s\n' "$found" "$rate" "$feedback" "$best" | sort -g | tail -1)
    done
  done
  set -- $best
  for seed in 0 1 2; do
    echo; echo "## widthwise train" $TRAIN --rate "$2" --feedback-rate "$3" --seed $seed
    $W train $TRAIN --rate "$2" --feedback-rate "$3" --seed $seed
    echo "load $(cut -d' ' -f1 /proc/loadavg)"
  done
  rm -f results/two.json
fi
