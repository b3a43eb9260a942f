#!/usr/bin/env bash
# No include runs up, and no file leads back to itself.
exec scripts/structure.py includes
