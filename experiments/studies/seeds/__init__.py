"""The study seeds; see `study`."""
