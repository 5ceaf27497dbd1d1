"""Training: one loop, objectives as functions, recipes."""
