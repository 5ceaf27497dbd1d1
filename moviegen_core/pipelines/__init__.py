"""One verb each: the only place where a network meets a solver."""
