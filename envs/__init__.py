"""The worlds: MuJoCo tasks as native batched Gymnasium vector environments.

Importing this package registers them, so that ``gymnasium.make_vec("envs:rl_ablation/Lap-v0",
num_envs=128)`` works anywhere.
"""

from gymnasium.envs.registration import register

register(
    id="rl_ablation/Lap-v0",
    entry_point="envs.lap:Lap",
    vector_entry_point="envs.lap:LapBatch",
    max_episode_steps=600,
)
