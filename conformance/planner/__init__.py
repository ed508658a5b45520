"""What real DeepSpeed engines hold and move, counted on CPU ranks: the ground under `dsbridge/planner`."""
