"""The study brain-scan; see `study`."""
