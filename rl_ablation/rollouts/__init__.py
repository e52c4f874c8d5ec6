"""Worlds, episodes, and what robots do in them."""
