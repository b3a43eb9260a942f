#!/usr/bin/env bash
# Fails if ctest skipped a test that tests/expected-skips.txt does not list, or ran no test at all.
#
#   scripts/check-skips.sh LOG PRESET   LOG is what ctest printed; PRESET may be a target of scripts/matrix.sh
set -euo pipefail
cd "$(dirname "$0")/.."
log=$1
preset=$2
list=tests/expected-skips.txt

if ! grep -q '^Total Test time' "$log"; then
  echo "check-skips: $log does not list any tests" >&2
  exit 1
fi

status=0
tests=$(sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) .*/\1/p' "$log")
declare -A expected

# Prints why the test may be skipped; fails if it may not.
reason_for() { # TEST
  local pattern
  if [[ -n ${expected[$1]-} ]]; then
    echo "${expected[$1]}"
    return
  fi
  for pattern in "${!expected[@]}"; do
    # shellcheck disable=SC2053 # it is a pattern
    if [[ $1 == $pattern ]]; then
      echo "${expected[$pattern]}"
      return
    fi
  done
  return 1
}

while IFS=$'\t' read -r name reason; do
  [[ -z $name || $name == '#'* ]] && continue
  test=${name#*:}
  # shellcheck disable=SC2053 # what stands before the colon is a pattern
  [[ $name != *:* || $preset == ${name%%:*} ]] || continue
  if [[ -z $reason ]]; then
    echo "check-skips: $list gives no reason for $name" >&2
    status=1
  fi
  regex=${test//./\\.} # of the patterns, only * is used
  if ! grep -qx "${regex//\*/.*}" <<<"$tests"; then
    echo "check-skips: $list names $test, which is no test" >&2
    status=1
  fi
  expected[$test]=$reason
done <"$list"

# ctest ends with lines like "	  3 - name (Skipped)".
skipped=$(sed -n 's/^\t *[0-9]* - \(.*\) (\(Skipped\|Not Run\|Disabled\))$/\1/p' "$log")
for test in $skipped; do
  if reason=$(reason_for "$test"); then
    echo "skipped as expected: $test ($reason)"
  else
    echo "check-skips: $test was skipped, and $list does not expect it" >&2
    status=1
  fi
done
exit $status
