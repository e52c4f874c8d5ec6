"""The study open-loop; see `study`."""
