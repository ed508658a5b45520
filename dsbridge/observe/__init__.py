"""Run a launch command with the installed frameworks up to `deepspeed.initialize`, and say what it got.

The modules here run inside a child process that has the frameworks; nothing else in dsbridge imports
them. The child is rank 0 of a world of any size (torch's fake process group), the real launcher reads its
real flags, and the run ends as soon as the real engine is built: nothing is trained.

`first/`, and what it loads, is the start of programs that run as they are: those under `dsbridge observe`.
"""
