"""The words that start a run, and the bash script that says them."""
