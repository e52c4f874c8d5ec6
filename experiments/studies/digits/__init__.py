"""The study digits; see `study`."""
