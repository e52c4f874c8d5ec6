"""The study trees; see `study`."""
