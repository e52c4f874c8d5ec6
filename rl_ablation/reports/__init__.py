"""Figures, films, findings in words, and the report."""
