"""Plugins: layers that TensorRT lacks, each with its kernel."""
