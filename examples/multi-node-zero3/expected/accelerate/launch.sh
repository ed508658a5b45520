#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for accelerate from spec sha256:e4eaea259bb9. Edit the spec, not this file.
# train.py is yours: it makes an Accelerator() and calls accelerator.prepare(...)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec accelerate launch \
  --config_file accelerate_config.yaml \
  --machine_rank "${NODE_RANK:?set it to 0 on the first node, 1 on the second, and so on}" \
  train.py
