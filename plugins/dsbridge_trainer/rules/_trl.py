"""Shorter ways to write TRL's rows."""

from __future__ import annotations

from dsbridge.rulebook import Rows

NEW, OLD = "1.16.0", "0.18.2"
_ROWS = Rows("trl", "trl", NEW)
ev, since, until = _ROWS.evidence, _ROWS.since, _ROWS.until
refusal, write = _ROWS.refusal, _ROWS.write
