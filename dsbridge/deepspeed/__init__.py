"""DeepSpeed, the target language: what its config says, by which key, in which version."""
