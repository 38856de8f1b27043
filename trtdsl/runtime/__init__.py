"""Everything that runs a built engine: devices, TensorRT's messages, streams, buffers.

Importing it imports neither torch, pycuda nor tensorrt; each is imported where it is first used.
"""
