"""Commands that tell what there is: show, list, doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from experiments.cli.options import AgentArg
from experiments.cli.output import print_json, say, tell_entries


def show(agent: AgentArg, /, json: bool = False) -> None:
    """Show what an agent is: its card, its sites, its score.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        json: Print it as JSON.
    """
    from agents.zoo import find_agent

    policy = find_agent(agent)
    card = policy.card.model_dump(mode="json")
    if json:
        print_json({**card, "sites": policy.sites})
        return
    say(f"{card['name']}: {card['algorithm']} in {card['env_id']}")
    say("sites:    " + ", ".join(f"{s} ({n})" for s, n in policy.sites.items()))
    say(f"network:  {card['activation']}, actions by {card['squash']}")
    if card["steps"] is not None:
        say(f"training: {card['steps']:,} steps, seed {card['seed']}")
    if card["command"]:
        say(f"made by:  {card['command']}")
    for key, value in card["scores"].items():
        say(f"  {key:<22}{value:g}" if isinstance(value, (int, float)) else f"  {key}: {value}")


def list_(
    what: Literal["agents", "envs", "measures", "kinds", "groupings", "studies"],
    /,
    env: str | None = None,
    json: bool = False,
) -> None:
    """List what there is.

    Args:
        what: agents, envs, measures, kinds, groupings or studies.
        env: With measures: only those that this environment's signals allow.
        json: Print it as JSON.
    """
    from experiments.cli.listing import entries

    tell_entries(entries(what, env), json)


def doctor(json: bool = False) -> None:
    """Check this machine for everything that can be missing; exits with 1 if something needed is.

    Args:
        json: Print it as JSON.
    """
    from experiments.cli.doctor import checks

    found = checks()
    if json:
        print_json([asdict(c) for c in found])
    else:
        for c in found:
            mark = "ok     " if c.ok else ("MISSING" if c.needed else "lacking")
            mend = [] if c.ok else [f"        → {c.mend}"]
            say(f"{mark} {c.name:<18} {c.found}", *mend)
    if any(c.needed and not c.ok for c in found):
        raise SystemExit(1)
