"""Plugins for tests, each with a kernel and a reference in PyTorch."""
