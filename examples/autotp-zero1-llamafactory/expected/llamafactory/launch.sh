#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for llamafactory from spec sha256:543df0bd5585. Edit the spec, not this file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
export FORCE_TORCHRUN=1
export NNODES=1
export NODE_RANK="${NODE_RANK:-0}"
export NPROC_PER_NODE=8
export MASTER_ADDR="${MASTER_ADDR:-127.0.0.1}"
export MASTER_PORT="${MASTER_PORT:-29500}"
exec llamafactory-cli train train.yaml
