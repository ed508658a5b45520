"""Which layout fits, what it costs, and why: what `dsbridge plan` stands on."""
