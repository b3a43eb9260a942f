#!/usr/bin/env bash
# The sources of a library, or of the tool, compile as one file; warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/../.."
cmake -S . -B build/unity -D CMAKE_UNITY_BUILD=ON -D CMAKE_BUILD_TYPE=Release -D NEARBUF_WERROR=ON \
  -D NEARBUF_BUILD_TESTS=OFF -D NEARBUF_BUILD_BENCH=OFF
cmake --build build/unity --parallel "$(nproc)"
