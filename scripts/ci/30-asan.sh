#!/usr/bin/env bash
# The tests under the address and undefined behaviour sanitizers.
exec scripts/test-sanitized.sh asan
