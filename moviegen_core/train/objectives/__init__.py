"""Training objectives: batch -> loss, one file per capability."""
