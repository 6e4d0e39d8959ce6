#!/usr/bin/env bash
# Target propagation under its own muP, 4 layers, tanh, post-activations. `target_propagation.sh checks`: coordinate checks
# of TP and DTP, right and wrong, with ridge, trained and tied feedback. `target_propagation.sh accuracy`: Fashion-MNIST,
# width 512, 5 epochs, beside backprop; rates tuned on a validation split over one epoch. `target_propagation.sh trained`:
# trained feedback, its rate and the network's tuned over all 5 epochs. `target_propagation.sh transfer`: optima and largest
# stable rates over widths 64 to 1024, digits and Fashion-MNIST. Writes results/target_propagation_PART.log.
set -uo pipefail
cd "$(dirname "$0")"
W=${WIDTHWISE:-widthwise}
PYTHON=${PYTHON:-python3}
PART=${1:?checks, accuracy, trained or transfer}
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
if [ "$PART" = transfer ]; then
  sweep() {
    local name=$1 began=$SECONDS
    shift
    echo; echo "## $name: widthwise transfer --network mlp --batch-size 64 $*"
    $W transfer --network mlp --batch-size 64 --json "results/transfer_$name.json" "$@" 2> /dev/null
    echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
  }
  WIDE="--widths 64 128 256 512 1024" DIGITS="--data digits --depth 3 --steps 40 --seeds 2"
  sweep dtp_adam_digits $DIGITS $WIDE --algorithm dtp --ridge 0.001 --optimizer adam --parameterization sp mup \
    --log2-rates -13 -3 1
  # The input layer's 784 pixels weigh as much as a hidden layer of that width and need no scaling under SP: six layers.
  sweep dtp_adam_fashion_mnist --data fashion_mnist --examples 6400 --depth 6 --steps 100 --seeds 2 \
    --widths 64 256 1024 --algorithm dtp --ridge 0.001 --optimizer adam --parameterization sp mup --log2-rates -14 -5 1
  # TP's targets leave out all that its feedback cannot restore, so that networks start far above twice the loss of a zero
  # prediction: on Fashion-MNIST SGD's wide ones are not below it after 100 steps at any rate, and would count as diverged.
  for optimizer in "sgd -6 2 -5 0 400" "adam -10 0 -10 0 100"; do
    set -- $optimizer
    sweep "tp_$1_digits" $DIGITS $WIDE --algorithm tp --ridge 1e-5 --optimizer "$1" --parameterization mup \
      --log2-rates "$2" "$3" 0.5
    sweep "tp_$1_fashion_mnist" --data fashion_mnist --examples 6400 --depth 3 --steps "$6" --seeds 2 $WIDE \
      --algorithm tp --ridge 1e-3 --optimizer "$1" --parameterization mup --log2-rates "$4" "$5" 0.5
  done
fi
