"""The worlds: MuJoCo tasks as native batched Gymnasium vector environments.

Importing this package registers them, so that ``gymnasium.make_vec("envs:rl_ablation/Lap-v0",
num_envs=128)`` works anywhere. It also gives Gymnasium's own MuJoCo locomotion tasks a native
batch: ``gymnasium.make_vec("HalfCheetah-v5", num_envs=128)``; `gymnasium.make` stays theirs.
"""

from gymnasium.envs.registration import register, registry

register(
    id="rl_ablation/Lap-v0",
    entry_point="envs.lap:Lap",
    vector_entry_point="envs.lap:LapBatch",
    max_episode_steps=600,
)
register(
    id="rl_ablation/Quadruped-v0",
    entry_point="envs.quadruped:Quadruped",
    vector_entry_point="envs.quadruped:QuadrupedBatch",
    max_episode_steps=500,
)
register(
    id="rl_ablation/Go1-v0",
    entry_point="envs.go1:Go1",
    vector_entry_point="envs.go1:Go1Batch",
    max_episode_steps=500,
)
register(
    id="rl_ablation/G1-v0",
    entry_point="envs.g1:G1",
    vector_entry_point="envs.g1:G1Batch",
    max_episode_steps=500,
)
register(
    id="rl_ablation/Robot-v0",
    # Of data: it takes an XML file and a policy's metadata.
    entry_point="envs.exported:Exported",
    vector_entry_point="envs.exported:ExportedBatch",
    max_episode_steps=500,
)

for _task in ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Swimmer", "Humanoid"):
    registry[f"{_task}-v5"].vector_entry_point = f"envs.locomotion:{_task}Batch"
