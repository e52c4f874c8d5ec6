"""The study development; see `study`."""
