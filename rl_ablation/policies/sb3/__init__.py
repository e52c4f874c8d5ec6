"""Policies of stable-baselines3 and sb3-contrib, read from their zips without running anything."""
