"""Flow matching: path, times, guidance and solvers, without networks."""
