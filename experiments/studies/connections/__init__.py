"""The study connections; see `study`."""
