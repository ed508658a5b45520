"""`dsbridge observe` on real runs: how each ends, and what the report says of it."""
