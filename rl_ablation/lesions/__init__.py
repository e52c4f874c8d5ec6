"""Lesions as plain data, the methods of ablation, and the masks that carry them out."""
