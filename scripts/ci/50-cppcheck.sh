#!/usr/bin/env bash
exec scripts/lint.sh cppcheck
