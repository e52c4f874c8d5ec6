"""How fast the sweep is."""
