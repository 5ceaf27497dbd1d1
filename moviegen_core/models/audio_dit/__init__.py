"""Sound transformer of Movie Gen Audio."""
