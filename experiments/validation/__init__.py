"""Validation: maps of robots whose wiring is known."""
