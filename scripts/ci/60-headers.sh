#!/usr/bin/env bash
# Each public header compiles alone, as C17 and as C++17, also as Microsoft would, and takes its own initialisers.
exec tests/headers/check.sh
