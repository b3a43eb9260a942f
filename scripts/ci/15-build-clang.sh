#!/usr/bin/env bash
# clang, warnings are errors.
exec scripts/build.sh ci-clang
