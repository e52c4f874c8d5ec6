"""The study real-robots; see `study`."""
