"""Lesion any torch module at named activations, through forward hooks that never stay behind.

    policy = Policy.from_module(
        actor, sites={"body.1": "h0", "body.3": "h1"}, obs_size=17, action_size=6,
        low=-np.ones(6), high=np.ones(6), postprocess=lambda out: out.mean,
    )

A site is the output of a submodule, by the name that ``named_modules()`` gives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rl_ablation.errors import LabError
from rl_ablation.files import array_digest, one_line
from rl_ablation.policies.network import BLOCK, Edit, linear, one_thread

Preprocess = Callable[[Tensor], Any]
"""Normalised observations (BLOCK, D) float32 → the module's input; a tuple is its arguments."""
Postprocess = Callable[[Any], Tensor]
"""The module's output → raw actions (BLOCK, A)."""


@dataclass(frozen=True, eq=False)
class Hooked:
    """A torch module as a `rl_ablation.policies.network.Network`; its mode is left as it was.

    ``sites`` are submodule name → site name, ``sizes`` site name → units in the order in which the
    signal passes them; ``action_size`` is the length A of a raw action.
    """

    module: nn.Module
    sites: Mapping[str, str]
    sizes: Mapping[str, int]
    action_size: int
    preprocess: Preprocess
    postprocess: Postprocess

    @property
    def digest(self) -> str:
        """Of weights, buffers, structure, sites, and the code around them.

        What a function reads elsewhere (globals, objects in closures) cannot be seen.
        """
        code = [type(part).forward for part in self.module.modules()]
        entries = [_described(f) for f in (*code, self.preprocess, self.postprocess)]
        sha = hashlib.sha256(repr((str(self.module), sorted(self.sites.items()), entries)).encode())
        for key, value in sorted(self.module.state_dict().items()):
            sha.update(key.encode())
            if isinstance(value, Tensor):
                flat = value.detach().to("cpu").contiguous().reshape(-1)
                sha.update(f"{value.dtype}{tuple(value.shape)}".encode())
                sha.update(flat.view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the module with hooks at the sites; see `rl_ablation.policies.network.Network`.

        A site that is not called exactly once, or gives no (BLOCK, H) floats, is a LabError.
        """
        raw = _run(self, obs, edit)
        if not isinstance(raw, Tensor) or tuple(raw.shape) != (len(obs), self.action_size):
            raise LabError(
                f"the module's output is {_shape(raw)}, not actions ({len(obs)}, "
                f"{self.action_size}); give a postprocess that picks them out"
            )
        return raw.detach().to("cpu", torch.float32)


def hooked(
    module: nn.Module,
    sites: Mapping[str, str] | Sequence[str],
    obs_size: int,
    action_size: int,
    preprocess: Preprocess | None = None,
    postprocess: Postprocess | None = None,
) -> Hooked:
    """Make a network of a torch module; see `rl_ablation.policies.policy.Policy.from_module`."""
    pre, post = preprocess or _mover(module), postprocess or _same
    network = Hooked(module, _site_names(module, sites), {}, action_size, pre, post)
    return replace(network, sizes=_probe(network, obs_size))


class _SameBits(TorchFunctionMode):
    """Sends every linear layer of a module through `rl_ablation.policies.network.linear`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (linear if func is F.linear else func)(*args, **(kwargs or {}))


def _run(network: Hooked, obs: Tensor, edit: Edit) -> Any:
    """Run the module, its sites passing through ``edit``; no hook outlives the call."""
    called: dict[str, int] = dict.fromkeys(network.sites, 0)

    def hook(path: str, _module: nn.Module, _args: Any, output: Any) -> Tensor:
        called[path] += 1
        if called[path] > 1:
            raise LabError(
                f"submodule {path!r} is called more than once in a forward pass, so it is no "
                "single site; give each call a module of its own"
            )
        return _edited(network.sites[path], path, output, len(obs), edit)

    with ExitStack() as hooks, evaluating(network.module), torch.no_grad(), _SameBits():
        for path in network.sites:
            submodule = network.module.get_submodule(path)
            hooks.enter_context(submodule.register_forward_hook(partial(hook, path)))
        given = network.preprocess(obs)
        output = network.module(*given if isinstance(given, tuple) else (given,))
        raw = network.postprocess(output)
    if never := [path for path, count in called.items() if count == 0]:
        raise LabError(
            f"submodule {never[0]!r} is never called in a forward pass, so a cut there cuts "
            "nothing; choose one that is"
        )
    return raw


def _edited(site: str, path: str, output: Any, rows: int, edit: Edit) -> Tensor:
    good = isinstance(output, Tensor) and output.ndim == 2 and output.is_floating_point()
    if not good or len(output) != rows:
        raise LabError(
            f"submodule {path!r} gives {_shape(output)}, not floats ({rows}, H); choose one whose "
            "output is a row of units for each observation"
        )
    # Edits work in place and on the CPU; the copy keeps them off what else uses this tensor, as
    # the input of an identity or of an in-place activation.
    copied = output.detach().to("cpu", copy=True)
    return edit(site, copied).to(output.device)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, and each of its parts back in the mode it was in."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _site_names(module: nn.Module, sites: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if isinstance(sites, str):
        raise LabError(f"sites is the text {sites!r}; give a list or a mapping of submodule names")
    if isinstance(sites, Mapping):
        named = {str(path): str(site) for path, site in sites.items()}
    else:
        named = {str(path): f"h{k}" for k, path in enumerate(sites)}
    known = dict(module.named_modules(remove_duplicate=False))
    if not named or len(named) != len(sites):
        raise LabError("sites names no submodule, or one twice; " + _choices(known))
    seen: dict[int, str] = {}
    for path in named:
        if not path or path not in known:
            raise LabError(f"the module has no submodule {path!r}; {_choices(known)}")
        if (other := seen.setdefault(id(known[path]), path)) != path:
            raise LabError(f"submodules {other!r} and {path!r} are one and the same; name it once")
    names = list(named.values())
    for site in names:
        if site in ("", "obs", "action") or names.count(site) > 1:
            raise LabError(f"the site name {site!r} is empty, taken or used twice; choose another")
    return named


def _choices(known: Mapping[str, nn.Module]) -> str:
    paths = [path for path in known if path]
    more = f", … ({len(paths)} in all)" if len(paths) > 12 else ""
    return f"choose from {', '.join(paths[:12])}{more}" if paths else "it has no submodules"


def _probe(network: Hooked, obs_size: int) -> dict[str, int]:
    """Run on zeros, twice, and return the sizes of the sites in the order of the signal."""
    sizes: dict[str, int] = {}

    def measure(site: str, values: Tensor) -> Tensor:
        sizes[site] = values.shape[1]
        return values

    with torch.inference_mode(), one_thread():
        try:
            one, other = (network(torch.zeros(BLOCK, obs_size), measure) for _ in range(2))
        except LabError:
            raise
        except Exception as error:  # a stranger's forward pass may raise anything
            raise LabError(
                f"the module fails on observations ({BLOCK}, {obs_size}): {one_line(error)}; "
                "mend obs_size, preprocess or postprocess"
            ) from error
    if not torch.equal(one.nan_to_num(), other.nan_to_num()):
        raise LabError(
            "the module gives different actions for the same observation (it draws at random or "
            "remembers); give a postprocess that takes the mean, or a module without memory"
        )
    return sizes


def _mover(module: nn.Module) -> Preprocess:
    def move(obs: Tensor) -> Tensor:
        first = next((p for p in module.parameters() if p.is_floating_point()), None)
        return obs if first is None else obs.to(first.device, first.dtype)

    return move


def _same(output: Any) -> Any:
    return output


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _described(value: Any) -> Any:
    """What can be said of a function, or of a value it holds, alike in every process."""
    function = getattr(value, "__func__", value)
    code = function if isinstance(function, CodeType) else getattr(function, "__code__", None)
    if code is not None:
        held = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        held += getattr(function, "__defaults__", None) or ()
        return [code.co_code.hex(), code.co_names, *map(_described, (*code.co_consts, *held))]
    if isinstance(value, str | bytes | int | float | complex | None):
        return repr(value)
    if isinstance(value, tuple | list):
        return list(map(_described, value))
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return array_digest(value)
    return type(value).__qualname__
