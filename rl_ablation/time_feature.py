"""Cards and specs name this module: ``rl_ablation.time_feature:rl_ablation/TimeFeature-v0``.

The package registers the environment; it is `rl_ablation.policies.sb3.time_feature`.
"""
