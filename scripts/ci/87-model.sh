#!/usr/bin/env bash
# The models hold in every state, and fail without the mechanisms that make them hold.
exec scripts/model.sh
