"""What real DeepSpeed accepts, refuses and never reads of a config, against what dsbridge says of it."""
