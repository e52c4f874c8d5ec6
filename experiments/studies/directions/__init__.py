"""Which code, not which units: see `study`."""
