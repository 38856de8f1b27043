"""Whole models for tests: ``vision`` (torchvision), ``small`` (hand-written)."""
