# shellcheck shell=bash
# What the scripts in launch/ share; sourced, never run. Leaves the caller in the checkout's root.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# As root, and with more ranks than cores, Open MPI starts nothing unless it is told to.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

say() {
  printf '%s: %s\n' "${0##*/}" "$*"
}

# Prints what the script says of itself at its top, and ends.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "launch/${0##*/}"
  exit 0
}

# die CODE MESSAGE...: one line and the exit code, one of those in include/lamina/core/error.hpp.
die() {
  printf '%s: %s\n' "${0##*/}" "${*:2}" >&2
  exit "$1"
}

part_table=()

# part NAME BUDGET_S COMMAND...: runs the command and notes its time beside its budget. Its exit code is left in
# part_code: returned, it would either end the caller or, tested, switch off errexit inside the command.
part() {
  local name=$1 budget_s=$2 start=$SECONDS verdict=ok
  say "$name ..."
  set +e
  (
    set -e
    "${@:3}"
  )
  part_code=$?
  set -e
  ((SECONDS - start <= budget_s)) || verdict='over budget'
  ((part_code == 0)) || verdict="failed ($part_code)"
  part_table+=("$(printf '%-28s %6d s of %5d s  %s' "$name" $((SECONDS - start)) "$budget_s" "$verdict")")
  say "${part_table[-1]}"
}

# needed_part: a part without which the rest makes no sense.
needed_part() {
  part "$@"
  ((part_code == 0)) || exit "$part_code"
}
