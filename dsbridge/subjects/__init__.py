"""What is checked: one input, read as far as it can be, and the contract of a check."""
