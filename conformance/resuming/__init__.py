"""Checkpoints that real runs write, and what becomes of them in runs with other settings."""
