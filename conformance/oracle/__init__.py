"""Run real frameworks up to `deepspeed.initialize`, hundreds of cases a minute, and keep what they did."""
