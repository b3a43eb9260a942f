#!/usr/bin/env bash
# Checks the models of tests/model with Spin: the assertions hold in every state of the protocol,
# and fail in each variant without one of its mechanisms (WITHOUT_...), which shows that they can
# fail.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/model
mkdir -p "$work"

# check MODEL [-DWITHOUT_...]: prints the number of states; returns the status of the search.
check() {
  (
    cd "$work"
    spin -a ${2:+"$2"} "../../tests/model/$1.pml" >/dev/null
    gcc -O2 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c
    ./pan -m200000 >"$1${2-}.log"
    ! grep -q -e '^pan:[0-9]*:' -e 'pan: .*depth too small' -e 'errors: [1-9]' "$1${2-}.log"
  )
}

status=0
for model in tests/model/*.pml; do
  name=$(basename "$model" .pml)
  if check "$name"; then
    echo "model: $name holds in $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$work/$name.log") states"
  else
    echo "model: $name does not hold:" >&2
    head -20 "$work/$name.log" >&2
    status=1
  fi
  mapfile -t variants < <(sed -n 's/^#ifn\{0,1\}def \(WITHOUT_[A-Z_]*\)$/\1/p' "$model" | sort -u)
  for variant in "${variants[@]}"; do
    if check "$name" "-D$variant"; then
      echo "model: $name holds even $variant: it proves nothing about that" >&2
      status=1
    else
      echo "model: $name fails $variant, as it must: $(grep -m1 -o 'assertion violated.*\|invalid end state.*' \
        "$work/$name-D$variant.log" || true)"
    fi
  done
done
exit $status
