"""Shorter ways to write Accelerate's rows."""

from __future__ import annotations

from dsbridge.rulebook import (
    Expr,
    Rows,
    all_of,
    get,
    is_a,
    is_set,
    no,
    same,
)

NEWEST = "1.15.0"
# Where behaviour changed, from the tags of Accelerate's repository.
TP_UNTIL = "1.7.0"
STATE_SINCE = "1.8.0"
COMM_SINCE = "1.9.0"
PARALLELISM_SINCE = "1.10.0"
ANY_CASE_SINCE = "1.10.0"
SEQUENCE_SINCE = "1.12.0"
WARMUP_SINCE = "1.15.0"

LAUNCH = "commands/launch.py"
EXPORT = "utils/launch.py"
YAML = "commands/config/config_args.py"
PLUGIN = "utils/dataclasses.py"
CONFIG = "utils/deepspeed.py"
ACCELERATOR = "accelerator.py"
STATE = "state.py"

USED = same(get("deepspeed.used"), True)
LAUNCHED = same(get("launch.used"), True)


_ROWS = Rows("accelerate", "accelerate", NEWEST)
ev, since, until = _ROWS.evidence, _ROWS.since, _ROWS.until
refusal, write = _ROWS.refusal, _ROWS.write


def given(path: str) -> Expr:
    """There, and not null: what Python asks with `is not None`."""
    return all_of(is_set(get(path)), no(is_a(get(path), "null")))


def not_given(path: str) -> Expr:
    """Missing or null."""
    return no(given(path))
