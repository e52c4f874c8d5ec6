"""Sparse autoencoders: a layer's code as few active features out of a larger dictionary.

Trained on what the intact policy does. After Bricken et al. 2023 ("Towards Monosemanticity") with
the k largest features kept, as in Makhzani & Frey 2013 ("k-sparse autoencoders") and Gao et al.
2024 ("Scaling and evaluating sparse autoencoders").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.units import hidden_sites, recorded
from rl_ablation.lesions.lesion import Lesion, Plan, orthonormal
from rl_ablation.lesions.methods import DEAD_STD, SiteStats

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from torch import Tensor

    from rl_ablation.policies.network import Edit, Network
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

ACTIVE = 8
"""Features that may be on at a moment, if nothing else is asked for."""
STEPS, BATCH, RATE = 2000, 256, 3e-3
"""Of the training: steps of Adam, moments in each, and the rate of learning."""
_SMALL = 0.2  # weights of a feature that starts anew
MOST = 4096
"""Features in a dictionary at most."""


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A dictionary of F features for a layer of H units, float64.

    A code h gives features f = the largest of max(0, (h − centre)/scale·encoder + bias), ``active``
    of them, the others 0; they give back centre + scale·f·decoder.

    Attributes:
        centre: Mean of the layer, (H,).
        scale: Root mean square of h − centre over units and moments.
        encoder: (H, F).
        bias: (F,).
        decoder: (F, H), rows of length 1.
        r2: Share of the layer's variance that comes back.
        used: Share of moments at which each feature is on, (F,).
        active: Features that may be on at a moment.
    """

    centre: np.ndarray
    scale: float
    encoder: np.ndarray
    bias: np.ndarray
    decoder: np.ndarray
    r2: float = np.nan
    used: np.ndarray | None = None
    active: int = ACTIVE

    def features(self, values: np.ndarray) -> np.ndarray:
        """Features (S, F) of codes (S, H)."""
        on = np.maximum((values - self.centre) / self.scale @ self.encoder + self.bias, 0.0)
        few = min(self.active, on.shape[1])
        least = -np.partition(-on, few - 1, axis=1)[:, few - 1 : few]
        return np.where(on >= least, on, 0.0)

    def back(self, features: np.ndarray) -> np.ndarray:
        """Codes (S, H) of features (S, F)."""
        return self.centre + self.scale * features @ self.decoder


@threadpool_limits.wrap(limits=1)  # how sums are split over threads changes their last bits
def autoencode(
    stats: SiteStats, features: int, seed: int = 0, *, active: int = ACTIVE
) -> Autoencoder:
    """Train a sparse autoencoder on a layer's visited activity; the same seed gives the same.

    At most ``active`` features are on at a moment. The loss is the squared error. A feature that
    was not on for an eighth of the training starts anew, in its first half, from a moment that is
    given back badly. LabError for fewer than 1 feature or more than `MOST`, and for a layer that
    does not vary.
    """
    import torch

    from rl_ablation.policies.network import one_thread

    if not 1 <= features <= MOST:
        raise LabError(f"an autoencoder has from 1 to {MOST:,} features, not {features}")
    values = stats.samples.astype(np.float64)
    centre = values.mean(0)
    scale = float(np.sqrt(((values - centre) ** 2).mean()))
    if scale <= DEAD_STD:
        raise LabError("an autoencoder needs a layer that varies")
    rng = np.random.default_rng([seed, features, values.shape[1]])
    x = torch.from_numpy((values - centre) / scale)
    decoder = torch.from_numpy(rng.normal(size=(features, values.shape[1])))
    decoder = (decoder / decoder.norm(dim=1, keepdim=True)).requires_grad_()
    encoder = decoder.detach().T.clone().requires_grad_()
    bias = torch.zeros(features, dtype=torch.float64, requires_grad=True)
    training = torch.optim.Adam([encoder, bias, decoder], RATE)
    last_on = torch.zeros(features)
    with one_thread():
        for step in range(STEPS):
            for group in training.param_groups:
                group["lr"] = RATE * min(1.0, 3.0 * (1.0 - step / STEPS))
            batch = x[torch.from_numpy(rng.integers(len(x), size=BATCH))]
            on = _sparse(batch @ encoder + bias, active)
            error = ((on @ decoder - batch) ** 2).sum(1)
            training.zero_grad()
            error.mean().backward()
            training.step()
            with torch.no_grad():
                decoder /= decoder.norm(dim=1, keepdim=True)
                last_on[(on > 0).any(0)] = step
                silent = step - last_on > STEPS / 8
                if step < STEPS / 2 and silent.any():
                    worst = error.argsort(descending=True)[: int(silent.sum())]
                    places = silent.nonzero()[: len(worst), 0]
                    fresh = batch[worst] / batch[worst].norm(dim=1, keepdim=True)
                    # Small at first: what is there already goes on as it was.
                    decoder[places], encoder[:, places], bias[places] = fresh, _SMALL * fresh.T, 0.0
                    last_on[places] = step
    weights = [part.detach().numpy() for part in (encoder, bias, decoder)]
    made = Autoencoder(centre, scale, weights[0], weights[1], weights[2], active=active)
    found = made.features(values)
    missed = ((made.back(found) - values) ** 2).sum() / ((values - centre) ** 2).sum()
    return replace(made, r2=float(1 - missed), used=(found > 0).mean(0))


def _sparse(values: Tensor, active: int) -> Tensor:
    """So many of the largest of each row (S, F), if they are above 0."""
    few = min(active, values.shape[1])
    kept, where = values.clamp(min=0.0).topk(few, dim=1)
    return values.new_zeros(values.shape).scatter(1, where, kept)


@grouping("features of a sparse autoencoder, so many in each layer's dictionary", number=32)
def features(
    agent: Policy, k: int = 32, activity: Activity | None = None, sites: Sequence[str] | None = None
) -> Plan:
    """The features of a sparse autoencoder of each layer, as directions: ``h0/feature-3``.

    A cut of a feature is one of the direction that it stands for in the layer's code. Features are
    numbered from the one that is on most often; those that are never on make no lesion. `through`
    tells how much of a policy its autoencoders hold. None of ``activity`` records it, None of
    ``sites`` takes all hidden layers. LabError as of `autoencode`.
    """
    activity = recorded(agent, activity)
    lesions = []
    for site in hidden_sites(agent, sites):
        made = autoencode(activity[site], k)
        assert made.used is not None
        for n, which in enumerate(np.argsort(-made.used, kind="stable")):
            if made.used[which] > 0:
                axes = orthonormal(made.decoder[which])
                name = f"{site}/feature-{n}"
                lesions.append(Lesion(name=name, directions={site: axes}, group="features"))
    return Plan(lesions)


def through(agent: Policy, made: Mapping[str, Autoencoder]) -> Policy:
    """The same policy with the code of each of these sites replaced by what its features give back:
    what it still can do is what the features hold of it. LabError for a site that is not hidden,
    and for a policy that remembers."""
    agent.needs_no_memory("driving it through autoencoders")
    hidden_sites(agent, list(made))
    if "obs" in made or "action" in made:
        raise LabError("autoencoders stand for hidden layers, not for obs or action")
    return agent.with_network(_Through(agent.network, made))


class _Through:
    """A network whose codes pass through autoencoders, before any cut."""

    def __init__(self, plain: Network, made: Mapping[str, Autoencoder]) -> None:
        self._plain, self._made = plain, dict(made)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Those of the network."""
        return self._plain.sizes

    @property
    def digest(self) -> str:
        """Of the network and all that its autoencoders are made of."""
        from rl_ablation.files import array_digest, digest

        parts = [self._plain.digest]
        for site, x in sorted(self._made.items()):
            numbers = np.array([x.scale, x.active])
            arrays = (x.centre, numbers, x.encoder, x.bias, x.decoder)
            parts += [site, *map(array_digest, arrays)]
        return digest(parts)

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run it; see `rl_ablation.policies.network.Network`."""
        from torch import from_numpy

        def passed(site: str, h: Tensor) -> Tensor:
            if (x := self._made.get(site)) is not None:
                h = from_numpy(x.back(x.features(h.numpy()))).to(h.dtype)
            return edit(site, h)

        return self._plain(obs, passed)
