"""Pictures, sound and films: what enters from files and what leaves to them."""
