"""The study recovery; see `study`."""
