"""Model shapes against the real models: every weight by name and shape, on torch's meta device."""
