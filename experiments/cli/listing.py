"""What there is to choose from, as `rl-ablation list` tells it."""

from __future__ import annotations


def entries(what: str, env: str | None = None) -> dict[str, str]:
    """Name → one line, of agents, envs, kinds, groupings, studies or measures.

    Of measures there are only those that the signals of ``env`` allow, if one is given.
    """
    if what == "agents":
        from agents import zoo
        from agents.recipes import RECIPES

        there = set(zoo.names())
        return {
            name: ("in the zoo" if name in there else "recipe only; train it first")
            + (f", {RECIPES[name].env_id}" if name in RECIPES else "")
            for name in sorted(there | set(RECIPES))
        }
    if what == "envs":
        import gymnasium

        import envs  # noqa: F401  # registers ours

        native = {
            spec.id: "native batch" + (", ours" if spec.namespace == "rl_ablation" else "")
            for spec in gymnasium.registry.values()
            if str(spec.vector_entry_point).startswith("envs.")
        }
        return {("envs:" + k if "/" in k else k): v for k, v in sorted(native.items())}
    if what == "kinds":
        from rl_ablation.lesions.methods import usages as kinds

        return kinds()
    if what == "studies":
        from experiments.studies.registry import STUDIES, question

        return {name: question(name) for name in STUDIES}
    if what == "groupings":
        from rl_ablation.groupings.registry import usages

        return usages()
    from rl_ablation.measures.registry import MEASURES, applicable

    chosen = list(MEASURES.values())
    if env is not None:
        from rl_ablation.rollouts.rollout import world_signals
        from rl_ablation.rollouts.world import World

        chosen = applicable(world_signals(World(env, 1)))
    arrow = {1: "more is better", -1: "less is better", 0: ""}
    about = {m.name: (m.doc.rstrip("."), m.unit and f"[{m.unit}]", arrow[m.better]) for m in chosen}
    return {name: ", ".join(filter(None, words)) for name, words in about.items()}
