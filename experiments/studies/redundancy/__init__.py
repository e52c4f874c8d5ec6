"""The study redundancy; see `study`."""
