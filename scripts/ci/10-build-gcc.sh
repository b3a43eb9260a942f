#!/usr/bin/env bash
# gcc, warnings are errors.
exec scripts/build.sh ci
