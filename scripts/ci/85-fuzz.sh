#!/usr/bin/env bash
# Every fuzz target for a short time; the corpora alone are replayed by the tests.
exec scripts/fuzz.sh 20
