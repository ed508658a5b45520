"""What a CPU lacks, brought in as a user's own `sitecustomize` would be: only if `observe` chains to it."""

from __future__ import annotations

from dsbridge.observe import cpu
from dsbridge.observe.after_import import install

install(cpu.HOOKS)
