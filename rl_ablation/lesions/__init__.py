"""Lesions as plain data, the methods of ablation, and the masks that carry them out.

Importing this room registers all kinds of cut.
"""

from rl_ablation.discovery import import_files

import_files(__name__, __path__)
