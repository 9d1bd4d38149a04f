# shellcheck shell=bash
# What the batch scripts of this folder share; sourced from the checkout's root. Each trains once:
#
#   train SIGNAL     SIGNAL is the scheduler's warning that the time is nearly up
#   again COMMAND    if the time is up before the training is at its end: has the job run again, by COMMAND
#
# The time is up after a warning, and when train.stop_before has stopped the run. One that was stopped otherwise, by its user,
# say, or by train.early_stop, ends with 0 and is not run again.
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
  trap 'warned=true; stop' "$1"
  trap stop TERM
  steps_before=$(steps_made)
  # shellcheck disable=SC2086 # lists, separated by blanks; of an option that comes twice the last one counts
  launch/run $LAMINA_CONFIGS --out "$LAMINA_OUT" --resume --restarts 3 $LAMINA_ARGUMENTS &
  launch=$!
  if $stopping; then stop; fi
  # A trapped signal ends `wait`, but not the run; the last one tells the run's code.
  while kill -0 "$launch" 2>/dev/null; do
    wait "$launch" || true
  done
  wait "$launch" || code=$?
  seconds=$(($(date +%s) - LAMINA_BEGAN))
  trap '' "$1" TERM
  ((code == 0)) || exit "$code"
}

summary_says() {
  grep -q "\"complete\": $1" "$LAMINA_OUT/summary.json"
}

# Of the run's whole training, by what its last end left; 0 before the first.
steps_made() {
  local steps
  steps=$(sed -n 's/^  "step": \([0-9]*\),\?$/\1/p' "$LAMINA_OUT/summary.json" 2>/dev/null) || true
  printf '%s\n' "${steps:-0}"
}

# The seconds of train.stop_before, as the run resolved it; nothing without one.
budget_s() {
  local text
  text=$(sed -n 's/^  stop_before: //p' "$LAMINA_OUT/config.yaml")
  [[ -n $text && $text =~ ^(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$ ]] || return 0
  local -a of=("${BASH_REMATCH[@]}")
  printf '%s\n' $((((10#0${of[2]} * 24 + 10#0${of[4]}) * 60 + 10#0${of[6]}) * 60 + 10#0${of[8]}))
}

# Whether the run was stopped by train.stop_before: no file tells why it was, but its clock is ours.
over_budget() {
  local limit_s
  summary_says false || return
  limit_s=$(budget_s)
  [[ -n $limit_s ]] && ((seconds >= limit_s))
}

again() {
  if $warned && ! summary_says true; then
    printf 'the time is nearly up: %s\n' "$*"
  elif ! $stopping && over_budget; then
    if [[ $(steps_made) == "$steps_before" ]]; then
      printf 'expected train.stop_before to leave time for a step, found %s s\n' "$(budget_s)" >&2
      exit 2
    fi
    printf 'train.stop_before is over: %s\n' "$*"
  else
    return 0
  fi
  "$@"
}
