"""The study when; see `study`."""
