"""The hooks inside real two-rank runs: what agrees trains, a planted drift stops before its first step."""
