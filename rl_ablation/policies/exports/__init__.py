"""Policies as robots have them: ONNX, TorchScript, checkpoints; read without running them."""
