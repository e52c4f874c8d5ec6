"""Policies with named sites, and the ways to load them."""
