"""A model in parts: engines, and PyTorch between them for what no engine computes."""
