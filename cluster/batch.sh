# shellcheck shell=bash
# What the batch scripts of this folder share; sourced from the checkout's root. Each trains once:
#
#   train SIGNAL     SIGNAL is the scheduler's warning that the time is nearly up
#   again COMMAND    if the time is up before the training is at its end: has the job run again, by COMMAND
#
# The time is up after a warning, and when train.stop_before has stopped the run. One that was stopped otherwise, by its user,
# say, or by train.early_stop, ends with 0 and is not run again; the run's summary.json tells what stopped it.
source cluster/parameters.sh

# train.stop_before counts from here, over all restarts. The environment may hold that of the job that submitted this one.
LAMINA_BEGAN=$(date +%s)
export LAMINA_BEGAN

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
  trap stop TERM
  trap 'warned=true; stop' "$1" # which may be TERM, too
  steps_before=$(steps_made)
  ! $stopping || return 0
  # shellcheck disable=SC2086 # lists, separated by blanks; of an option that comes twice the last one counts
  launch/run $LAMINA_CONFIGS --out "$LAMINA_OUT" --resume --restarts 3 $LAMINA_ARGUMENTS &
  launch=$!
  if $stopping; then stop; fi
  # A trapped signal ends `wait`, but not the run; the last one tells the run's code.
  while kill -0 "$launch" 2>/dev/null; do
    wait "$launch" || true
  done
  wait "$launch" || code=$?
  trap '' "$1" TERM
  # Only who was not yet launch/run, or had not begun to listen, dies of our signal; there was nothing to stop.
  ! $stopping || ((code != 143)) || code=0
  ((code == 0)) || exit "$code"
}

# summary_says KEY VALUE, as JSON has them; of the run, not of a worker.
summary_says() {
  grep -qs "^  \"$1\": $2" "$LAMINA_OUT/summary.json"
}

# Of the run's whole training, by what its last end left; 0 before the first.
steps_made() {
  local steps
  steps=$(sed -n 's/^  "step": \([0-9]*\),\?$/\1/p' "$LAMINA_OUT/summary.json" 2>/dev/null) || true
  printf '%s\n' "${steps:-0}"
}

again() {
  if $warned && ! summary_says complete true; then
    printf 'the time is nearly up: %s\n' "$*"
  elif ! $stopping && summary_says stopped_by '"stop_before"'; then
    if [[ $(steps_made) == "$steps_before" ]]; then
      printf 'expected train.stop_before to leave time for a step, found %s\n' \
        "$(sed -n 's/^  stop_before: //p' "$LAMINA_OUT/config.yaml")" >&2
      exit 2
    fi
    printf 'train.stop_before is over: %s\n' "$*"
  else
    return 0
  fi
  "$@"
}
