"""The check pass: inputs to findings, and findings to people, programs and repairs."""
