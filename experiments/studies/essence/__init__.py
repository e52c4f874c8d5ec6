"""The study essence; see `study`."""
