"""`observe`: a launch command run as it is, with a hook in its environment, and what the hook reports."""
