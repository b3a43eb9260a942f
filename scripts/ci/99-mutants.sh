#!/usr/bin/env bash
# Do the tests notice changes in the lines that this change touches? A report; only a failure of the
# tool itself fails. $MUTANTS_BASE is what the change started from: by default main, or the commit
# before. It is the last step, and left out where the others took long.
set -euo pipefail
if [ $((EPOCHSECONDS - ${CI_STARTED:-EPOCHSECONDS})) -gt 3600 ]; then
  echo 'mutants: left out, since the other steps took more than an hour'
  exit 0
fi
base=${MUTANTS_BASE-$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)}
if [ "$base" = "$(git rev-parse HEAD)" ]; then
  base=$(git rev-parse -q --verify HEAD~1 || echo "$base")
fi
status=0
report=build/mutants/changed.md
rm -f "$report"
timeout 300 scripts/mutants.sh --changed "$base" --sample 200 --minutes 4.5 --report "$report" || status=$?
if [ "$status" = 124 ]; then
  echo 'mutants: this machine is too slow for a result within five minutes'
  exit 0
fi
[ ! -f "$report" ] || cat "$report"
exit "$status"
