"""`check --resume`: whether the planned run can load a checkpoint, and what is needed first."""
