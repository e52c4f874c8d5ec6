"""The subjects: train with stable-baselines3, export, keep (``agents/zoo/<name>/``)."""
