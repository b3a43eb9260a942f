#!/usr/bin/env bash
# The tests under the thread sanitizer.
exec scripts/test-sanitized.sh tsan
