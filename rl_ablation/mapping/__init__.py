"""From a plan of cuts to claims: sweeps, effects, evidence, maps."""
