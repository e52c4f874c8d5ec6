"""The study robust; see `study`."""
