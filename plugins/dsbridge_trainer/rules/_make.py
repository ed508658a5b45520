"""Shorter ways to write the Trainer's rows."""

from __future__ import annotations

from dsbridge.rulebook import Rows

NEW, OLD = "5.23.0", "4.51.3"
# transformers 5 took out what 4 had deprecated
FIVE = "5.0.0"
ARGUMENTS_FILE, CONFIG_FILE, TRAINER_FILE = "training_args.py", "integrations/deepspeed.py", "trainer.py"

_ROWS = Rows("trainer", "transformers", NEW)
ev, since, until = _ROWS.evidence, _ROWS.since, _ROWS.until
refusal, write = _ROWS.refusal, _ROWS.write
