"""Real frameworks, two CPU ranks, two optimizer steps, from the files that dsbridge renders."""
