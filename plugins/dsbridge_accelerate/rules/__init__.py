"""Accelerate's rows, a file a part of its code."""
