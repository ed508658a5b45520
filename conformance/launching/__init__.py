"""Two nodes on one machine: the written launches, run on both, train two steps."""
