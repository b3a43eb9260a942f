#!/usr/bin/env bash
# Each public header compiles alone, as C17 and as C++17, also in Microsoft's mode, and accepts its
# own initialisers.
exec tests/headers/check.sh
