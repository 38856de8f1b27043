"""Converters: a function writes an ATen operator as TensorRT layers, a module holds a family."""
