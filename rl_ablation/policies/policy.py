"""A policy with named sites: the deterministic actor, its normaliser inside, ready to be cut.

On the way from observation to action an intervention may rewrite the values at every *site*:
``obs`` (the network's input, after normalisation), ``h0``, ``h1``, … (each hidden layer, after its
activation function) and ``action`` (what the environment receives; for discrete actions the
scores that argmax chooses from).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Annotated, Any, TypedDict, Unpack, cast

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from rl_ablation.env_ids import EnvId, EnvKwargs, trust
from rl_ablation.errors import LabError
from rl_ablation.files import array_digest, digest, one_line
from rl_ablation.formats import number
from rl_ablation.markup import shown
from rl_ablation.policies.cuts import Cuts
from rl_ablation.policies.modules import Postprocess, Preprocess, hooked
from rl_ablation.policies.network import (
    BLOCK,
    MLP,
    Edit,
    Memory,
    Network,
    Remembering,
    memory_of,
    one_thread,
)

SQUASHES = ("clip", "tanh", "argmax", "none")
ARRAYS = ("low", "high", "obs_mean", "obs_std")  # of a policy, besides its network's
_Told = dict[str, Tensor]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


def _sane(values: dict[str, Any]) -> dict[str, Any]:
    """Settings and scores without numbers that are too long to be written as one."""
    found: list[Any] = [values]
    for part in found:  # grows on the way
        if isinstance(part, dict):
            found += part.values()
        elif isinstance(part, list):
            found += part
        elif isinstance(part, int) and abs(part) >= 1 << 63:
            raise ValueError("a whole number of more than 8 bytes")
    return values


_Settings = Annotated[dict[str, Any], AfterValidator(_sane)]


class Card(BaseModel):
    """What a policy is and where it comes from; stored as ``card.json`` beside the weights."""

    # As constants: an infinite end of a range would else be stored as null.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    format: int = 1
    name: str = Field(max_length=300)
    env_id: EnvId | None = Field(None, description="Gymnasium id, with module prefix if needed")
    env_kwargs: EnvKwargs = {}
    algorithm: str = "unknown"
    activation: str
    squash: str
    obs_clip: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="normalised observations are clipped to ±this"
    )
    seed: _Count | None = None
    steps: _Count | None = Field(default=None, description="environment steps of training")
    command: str | None = Field(default=None, description="what made this policy")
    hyperparameters: _Settings = {}
    scores: _Settings = {}
    versions: dict[str, str] = {}
    sha256: str | None = Field(default=None, description="of policy.safetensors")
    card_sha256: str | None = Field(default=None, description="of the rest of this file")


class About(TypedDict, total=False):
    """What `Policy.from_module` can be told besides the module.

    A name and an environment for the card; ``squash``, how raw actions become actions: ``clip``,
    ``tanh``, ``argmax`` or ``none``; the bounds of actions, as in `Policy`; the mean and standard
    deviation that normalise observations, and the bound of normalised ones.
    """

    name: str
    env_id: str | None
    env_kwargs: Mapping[str, Any]
    squash: str
    low: np.ndarray | None
    high: np.ndarray | None
    obs_mean: np.ndarray | None
    obs_std: np.ndarray | None
    obs_clip: float | None


@dataclass(frozen=True, eq=False)
class Policy:
    """A deterministic policy whose activations can be edited at named sites.

    Observations have length D, ``obs_size``, actions length A, or A is the number of discrete ones.
    ``card.squash``, which has to be a known one, says how the network's outputs become actions
    from ``low`` to ``high``, (A,); both are None for discrete or unbounded ones. From observations
    ``obs_mean`` is subtracted, ``obs_std`` divides them, (D,); None does not normalise.
    """

    network: Network
    _: KW_ONLY
    obs_size: int
    action_size: int
    card: Card
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    obs_mean: np.ndarray | None = None
    obs_std: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.card.squash not in SQUASHES:
            known = ", ".join(SQUASHES)
            raise LabError(f"unknown squash {self.card.squash!r}; choose from {known}")
        for name in ARRAYS:
            if (values := getattr(self, name)) is not None:
                kind = np.float64 if name.startswith("obs") else np.float32
                object.__setattr__(self, name, real(values, kind, name))
        self._check()

    def _check(self) -> None:
        """Raise a LabError unless the bounds and the normaliser fit the network and the card."""
        sizes = {"low": self.action_size, "high": self.action_size}
        for name in ARRAYS:
            values, size = getattr(self, name), sizes.get(name, self.obs_size)
            if values is not None and (values.shape != (size,) or np.isnan(values).any()):
                raise LabError(f"{name}: expected {size} numbers, got shape {values.shape}")
        if (self.low is None) != (self.high is None):
            raise LabError("low and high go together; one is missing")
        if (self.obs_mean is None) != (self.obs_std is None):
            raise LabError("obs_mean and obs_std go together; one is missing")
        if self.obs_std is not None and not (self.obs_std > 0).all():
            raise LabError("obs_std holds values that are not positive")
        squash = self.card.squash
        if self.low is None or self.high is None:
            if squash in ("clip", "tanh"):
                raise LabError(f"squash {squash!r} needs low and high, the bounds of the actions")
        elif not (self.low <= self.high).all():
            raise LabError("low, the lower bounds of the actions, is above high somewhere")
        elif squash == "tanh" and not (np.isfinite(self.low) & np.isfinite(self.high)).all():
            raise LabError("squash 'tanh' needs bounds of the actions, low and high, that end")

    @staticmethod
    def from_module(
        module: nn.Module,
        *,
        sites: Mapping[str, str] | Sequence[str],
        obs_size: int,
        action_size: int,
        preprocess: Preprocess | None = None,
        postprocess: Postprocess | None = None,
        **about: Unpack[About],
    ) -> Policy:
        """Make a policy of any torch module, to be lesioned at the outputs of its submodules.

        The module is run twice on zeros, to learn the sizes of its sites and to check it.

        Args:
            module: The actor. It must treat rows apart and act without chance in eval mode.
            sites: Submodule name → site name; a plain list names them ``h0``, ``h1``, … in order.
            obs_size: Observation length D.
            action_size: Action length A, or the number of discrete actions.
            preprocess: Observations → the module's input; None moves them to its device and dtype.
            postprocess: The module's output → raw actions; None takes it as it is.
            **about: See `About`.

        Raises:
            LabError: Unknown submodules, sites that are not called exactly once in a forward pass
                or give no (N, H) floats, no (N, A) tensor as output, actions left to chance.
        """
        if (env_id := about.get("env_id")) is not None:
            trust(env_id, about.get("env_kwargs"))
        network = hooked(module, sites, obs_size, action_size, preprocess, postprocess)
        given: Mapping[str, Any] = about
        try:
            card = Card(
                name=about.get("name", "module"),
                env_id=env_id,
                env_kwargs=dict(about.get("env_kwargs") or {}),
                algorithm="torch module",
                activation="module",
                squash=about.get("squash", "none"),
                obs_clip=about.get("obs_clip"),
            )
        except ValidationError as error:
            raise LabError(one_line(error)) from None
        arrays = {name: given.get(name) for name in ARRAYS}
        return Policy(network, obs_size=obs_size, action_size=action_size, card=card, **arrays)

    @property
    def sites(self) -> dict[str, int]:
        """Units of every site in the order in which the signal passes them."""
        return {"obs": self.obs_size, **self.network.sizes, "action": self.action_size}

    @property
    def memory(self) -> Mapping[str, int]:
        """Name → units of what it keeps from one step to the next; empty without memory."""
        return memory_of(self.network)

    def at_rest(self, rows: int) -> dict[str, np.ndarray]:
        """What so many robots remember at the start of an episode: name → zeros (N, H)."""
        return {name: np.zeros((rows, n), np.float32) for name, n in self.memory.items()}

    def needs_no_memory(self, what: str) -> None:
        """Raise a LabError if it remembers; ``what`` shows a network single observations."""
        if self.memory:
            raise LabError(
                f"policy {self.name!r} remembers ({', '.join(self.memory)}), and {what} looks at "
                "single observations; choose a policy without memory"
            )

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """Digest of everything that determines the actions."""
        arrays = [array_digest(getattr(self, name)) for name in ARRAYS]
        return digest([self.network.digest, self.card.squash, self.card.obs_clip, *arrays])

    def _repr_html_(self) -> str:
        card = self.card
        words = [
            f"{card.algorithm} in {card.env_id}" if card.env_id else card.algorithm,
            "" if card.steps is None else f"{card.steps:,} steps of training",
            "" if card.seed is None else f"seed {card.seed}",
        ]
        remark, found = "", card.scores.get("return")
        if isinstance(found, (int, float)):
            remark = f"Return {number(found)} over {card.scores.get('episodes')} episodes."
        return shown(self.name, ", ".join(filter(None, words)), [self.sites], remark)

    def with_env(self, env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Policy:
        """Return the same policy with another environment, which is trusted, on its card."""
        trust(env_id, env_kwargs)
        card = self.card.model_copy(update={"env_id": env_id, "env_kwargs": dict(env_kwargs or {})})
        return self.with_card(card)

    def with_card(self, card: Card) -> Policy:
        """Return the same policy with another card."""
        return replace(self, card=card)

    def with_network(self, network: Network) -> Policy:
        """Return the same policy around another network."""
        return replace(self, network=network)

    def edited(self, site: str, units: Sequence[int]) -> Policy:
        """Return a policy whose *weights* are edited so that hidden ``units`` have no effect.

        This is the surgeon's way to make the lesion ``zero``, for checks and for export, at hidden
        layers of an MLP only; sweeps use masks. Only the outgoing weights change, to zero.
        """
        if not isinstance(self.network, MLP) or site not in self.network.sizes:
            raise LabError(f"cannot edit weights at {site!r}; choose a hidden layer of an MLP")
        layers = list(self.network.layers)
        after = int(site[1:]) + 1
        weight = layers[after][0].clone()
        weight[:, list(units)] = 0.0
        layers[after] = (weight, layers[after][1])
        return self.with_network(replace(self.network, layers=tuple(layers)))

    def normalise(self, obs: np.ndarray) -> np.ndarray:
        """Return the network's input for raw observations (N, D), float32."""
        obs = np.asarray(obs, np.float64).reshape(len(obs), -1)
        if self.obs_mean is not None and self.obs_std is not None:
            obs = (obs - self.obs_mean) / self.obs_std
            if self.card.obs_clip is not None:
                obs = np.clip(obs, -self.card.obs_clip, self.card.obs_clip)
        return obs.astype(np.float32)

    def act(
        self,
        obs: np.ndarray,
        masks: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
        record: Mapping[str, np.ndarray] | None = None,
        memory: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Choose actions, (N, A) float32 or (N,) int64 if discrete, for raw observations (N, D).

        Args:
            obs: The observations.
            masks: Site → (scale (N, H), shift (N, H)), float32: there h' = scale·h + shift. `Cuts`
                can say more.
            record: Site → array (N, H) that receives the site's values after the edit.
            memory: What the robots remember of the step before, as `at_rest` has it; receives what
                they remember now. None is a first step, after which all is forgotten.
        """
        cuts = masks if isinstance(masks, Cuts) else Cuts(masks or {})
        record = record or {}
        memory = memory if memory or not self.memory else self.at_rest(len(obs))
        rows = self.normalise(obs)
        discrete = self.card.squash == "argmax"
        shape = (len(rows),) if discrete else (len(rows), self.action_size)
        out = np.empty(shape, np.int64 if discrete else np.float32)
        with torch.inference_mode(), one_thread():
            for start in range(0, len(rows), BLOCK):
                part = slice(start, min(start + BLOCK, len(rows)))
                size = part.stop - start
                block = np.zeros((BLOCK, self.obs_size), np.float32)
                block[:size] = rows[part]
                told = self._told(block, cuts, memory or {}, part)

                def edit(site: str, h: Tensor, part: slice = part, told: _Told = told) -> Tensor:
                    mine = h[: part.stop - part.start]
                    cuts.apply(site, mine, part)
                    if site in told:
                        where = torch.from_numpy(cuts.receivers[site][part])
                        mine[where] = told[site][where]
                    if site in record:
                        record[site][part] = mine.numpy()
                    return h

                held = _padded(memory or {}, part)
                out[part] = self._forward(torch.from_numpy(block), edit, held)[:size].numpy()
                for name, values in held.items():
                    memory[name][part] = values[:size].numpy()  # type: ignore[index]
        return out

    def _told(
        self, block: np.ndarray, cuts: Cuts, memory: Mapping[str, np.ndarray], part: slice
    ) -> _Told:
        """What the receivers are told: their sites' values in a pass of its own, with what is cut
        for them alone; that pass leaves no memory."""
        told: _Told = {}
        heard = cuts.heard
        if heard is None:
            return told

        def listen(site: str, h: Tensor) -> Tensor:
            mine = h[: part.stop - part.start]
            heard.apply(site, mine, part)
            if site in cuts.receivers:
                told[site] = mine.clone()
            return h

        self._forward(torch.from_numpy(block.copy()), listen, _padded(memory, part))
        return told

    def _forward(self, obs: Tensor, edit: Edit, memory: Memory) -> Tensor:
        obs = edit("obs", obs)
        if memory:
            raw = cast(Remembering, self.network)(obs, edit, memory)
        else:
            raw = self.network(obs, edit)
        if self.card.squash == "argmax":
            return edit("action", raw).argmax(-1)
        if self.low is None or self.high is None:
            return edit("action", raw)
        low, high = torch.from_numpy(self.low), torch.from_numpy(self.high)
        if self.card.squash == "tanh":
            raw = low + 0.5 * (torch.tanh(raw) + 1.0) * (high - low)
        return edit("action", raw.clamp(low, high)).clamp(low, high)


def _padded(memory: Mapping[str, np.ndarray], part: slice) -> Memory:
    """Some rows of a memory, as a block of a fixed size."""
    held: Memory = {}
    for name, values in memory.items():
        held[name] = torch.zeros(BLOCK, values.shape[1])
        held[name][: part.stop - part.start] = torch.from_numpy(values[part])
    return held


def real(values: Any, kind: type, what: str) -> np.ndarray:
    """Values as an array of that kind of floats; a LabError if they are no real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise LabError(f"{what} holds {array.dtype} values, not real numbers")
    with np.errstate(over="ignore"):
        return array.astype(kind, copy=False)
