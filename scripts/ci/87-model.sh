#!/usr/bin/env bash
# The protocols hold in every state, and not without the mechanisms that make them hold.
exec scripts/model.sh
