"""Converters: each function writes one ATen operator as TensorRT layers; a module an operator family."""
