"""Loaded by Python at start-up, because the runner puts this folder on the child's PYTHONPATH.

It changes nothing by itself: it waits until a framework's module has been imported and then lets
the recorder and the CPU patches act on it. Without CONFORMANCE_RECORD it stays out of the way.
"""

from __future__ import annotations

import os

if os.environ.get("CONFORMANCE_RECORD"):
    import recorder

    from dsbridge.observe import cpu
    from dsbridge.observe.after_import import install

    install({**cpu.HOOKS, **recorder.HOOKS})
