"""The docs site: Sphinx with furo, notebooks run in the build, lists made from the registries."""

import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS / "_ext"), str(ROOT)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])
)  # the tutorials import the copy beside this file
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a debugger's remark in every notebook
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # two notebooks run at a time, and small matrices gain nothing by more
# A profile of the kernels' own: nobody's start-up files, and no remarks on how they are reached.
_profile = tempfile.TemporaryDirectory()
os.environ["IPYTHONDIR"] = _profile.name
(Path(_profile.name) / "profile_default").mkdir()
(Path(_profile.name) / "profile_default" / "ipython_kernel_config.py").write_text(
    "c.IPKernelApp.log_level = 'ERROR'\nc.HistoryManager.enabled = False\n"
)
if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")

project = "RL ablation lab"
author = copyright = "the RL ablation lab's contributors"
release = version = importlib.metadata.version("rl-ablation")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "api_pages",
    "registries",
]
exclude_patterns = ["_ext", "figures", "**/.ipynb_checkpoints"]
nitpicky = False
suppress_warnings = [
    "ref.any",  # a name in single backticks that is no object of ours stays plain code
]
default_role = "any"

# Markdown and notebooks.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds a cell, for machines that are busy
nb_merge_streams = True

# The API from docstrings.
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
    "no-value": True,
    "exclude-members": "model_config",
}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Looks. Nothing is fetched from elsewhere.
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_theme_options = {"navigation_with_keys": True}
