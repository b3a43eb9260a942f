#!/usr/bin/env bash
# Each public header compiles alone, as C17 and as C++17, and in both takes its own initialisers.
exec tests/headers/check.sh
