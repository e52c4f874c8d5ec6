"""The study populations; see `study`."""
