#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for accelerate from spec sha256:b64626a38f3a. Edit the spec, not this file.
# train.py is yours: it makes an Accelerator() and calls accelerator.prepare(...)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec accelerate launch \
  --config_file accelerate_config.yaml \
  train.py
