"""What TensorRT calls back: plugins written in Python, their kernels and their registration."""
