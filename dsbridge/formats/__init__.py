"""Text to tree and back, with the position of every value."""
