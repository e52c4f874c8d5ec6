"""The study locomotion-regions; see `study`."""
