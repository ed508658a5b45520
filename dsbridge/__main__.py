"""`python -m dsbridge`."""

from dsbridge.cli import main

main()
