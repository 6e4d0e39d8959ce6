# logged LOG COMMAND...: runs it, shows its lines, and appends them to LOG whole when it has ended: two runs of a script at
# once, a core each, would mix their lines.
logged() {
  local log=$1 held
  shift
  held=$(mktemp)
  "$@" 2>&1 | tee "$held"
  cat "$held" >> "$log"
  rm -f "$held"
}
# timed NAME FLAGS...: heading, `widthwise FLAGS` (the program is $W), exit code, seconds and load.
timed() {
  local name=$1 began=$SECONDS
  shift
  echo; echo "## $name: widthwise $*"
  $W "$@"
  echo "exit code $?, $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
