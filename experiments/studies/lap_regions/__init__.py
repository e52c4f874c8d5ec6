"""The study lap-regions; see `study`."""
