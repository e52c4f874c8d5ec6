"""The study selectivity; see `study`."""
