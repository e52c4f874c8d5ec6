"""The study building-blocks; see `study`."""
