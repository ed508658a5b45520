#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for llamafactory from spec sha256:6ff4a90311dd. Edit the spec, not this file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec accelerate launch \
  --config_file accelerate_config.yaml \
  --machine_rank "${NODE_RANK:-0}" \
  --main_process_ip "${MASTER_ADDR:-127.0.0.1}" \
  --main_process_port "${MASTER_PORT:-29500}" \
  -m \
  llamafactory.launcher \
  train.yaml
