"""Faults: what the lab does when files are damaged, processes are killed, and input is hostile."""
