"""One robot of a world as a plain Gymnasium environment, with pictures."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from envs.batch_env import BatchEnv, Info


class SingleEnv(gym.Env):
    """One robot of a `BatchEnv`, as a plain Gymnasium environment with rendering.

    A world subclasses it and names its batch class; ``decorate`` may draw extra geoms.

    Args:
        render_mode: ``"rgb_array"``, ``"human"`` or None.
        width: Of a frame, pixels.
        height: Of a frame, pixels.
        camera: A camera of the model by name, or None for the free camera.
        **kwargs: For the batch class.
    """

    batch_class: ClassVar[type[BatchEnv]]
    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "human"],
        "render_fps": 20,
    }

    def __init__(
        self,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        camera: str | None = None,
        **kwargs: Any,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"unknown render_mode {render_mode!r}; choose from {self.metadata['render_modes']}"
            )
        self.world = self.batch_class(num_envs=1, autoreset_mode="Disabled", nthread=1, **kwargs)
        self.metadata = {  # type: ignore[misc]
            **self.world.metadata,
            "render_modes": ["rgb_array", "human"],
        }
        self.observation_space = self.world.single_observation_space
        self.action_space = self.world.single_action_space
        self.render_mode = render_mode
        self._size = (height, width)
        self._camera = camera
        self._model: mujoco.MjModel | None = None
        self._data: mujoco.MjData | None = None
        self._renderer: mujoco.Renderer | None = None
        self._viewer: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Info]:
        """Start an episode; see `BatchEnv.reset` for ``options``."""
        super().reset(seed=seed)
        obs, infos = self.world.reset(seed=[seed], options=options)
        self._model = None  # the episode may run on another model of the family
        if self.render_mode == "human":
            self.render()
        return obs[0], self._unwrap(infos)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Step the robot."""
        obs, reward, terminated, truncated, infos = self.world.step(np.asarray(action)[None])
        if self.render_mode == "human":
            self.render()
        return (
            obs[0],
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            self._unwrap(infos),
        )

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Return a frame, (height, width, 3) uint8, or update the window in human mode."""
        if self.render_mode is None:
            return None
        if self._model is None:
            self._close_windows()
            self._model = self.world.scene_model(0)
            self._data = mujoco.MjData(self._model)
        assert self._data is not None
        self._data.qpos[:] = self.world.batch.qpos[0]
        mujoco.mj_forward(self._model, self._data)
        if self.render_mode == "human":
            if self._viewer is None:
                from mujoco import viewer  # opens a window system; only wanted here

                self._viewer = viewer.launch_passive(self._model, self._data)
            self._viewer.sync()
            return None
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self._model, *self._size)
        self._renderer.update_scene(self._data, -1 if self._camera is None else self._camera)
        self.decorate(self._renderer.scene)
        return self._renderer.render()

    def decorate(self, scene: mujoco.MjvScene) -> None:
        """Add geoms to the scene before it is drawn; nothing by default."""

    def close(self) -> None:
        """Close the renderer and the window."""
        self._close_windows()
        self.world.close()

    def _close_windows(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        if self._viewer is not None:
            self._viewer.close()
        self._renderer = self._viewer = None

    @staticmethod
    def _unwrap(infos: Info) -> Info:
        return {k: v[0] for k, v in infos.items() if not k.startswith("_")}
