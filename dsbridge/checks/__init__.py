"""The checks: one kind of mistake a file, found by `dsbridge.checking.catalogue`."""
