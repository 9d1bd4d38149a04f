# shellcheck shell=bash
# What the batch scripts of this folder share; sourced from the checkout's root. Each trains once:
#
#   train SIGNAL     SIGNAL is the scheduler's warning that the time is nearly up
#   again COMMAND    after a warning, if there is more to train: has the job run again, by COMMAND
#
# A run that was stopped otherwise, by its user, say, ends with 0 and is not run again.
source cluster/parameters.sh

warned=false stopping=false
launch= # launch/run's process

# What a signal does: the run stops at a checkpoint. It may come before there is a run, and when there is none any more.
stop() {
  stopping=true
  [[ -z $launch ]] || kill -TERM "$launch" 2>/dev/null || true
}

# Ends the script with launch/run's code if that is not 0.
train() {
  local code=0
  trap 'warned=true; stop' "$1"
  trap stop TERM
  # shellcheck disable=SC2086 # lists, separated by blanks
  launch/run $LAMINA_CONFIGS --out "$LAMINA_OUT" --resume $LAMINA_ARGUMENTS &
  launch=$!
  if $stopping; then stop; fi
  # A trapped signal ends `wait`, but not the run; the last one tells the run's code.
  while kill -0 "$launch" 2>/dev/null; do
    wait "$launch" || true
  done
  wait "$launch" || code=$?
  trap '' "$1" TERM
  ((code == 0)) || exit "$code"
}

finished() {
  grep -q '"complete": true' "$LAMINA_OUT/summary.json"
}

again() {
  if $warned && ! finished; then
    printf 'the time is nearly up: %s\n' "$*"
    "$@"
  fi
}
