"""What only a GPU can show: engines, against PyTorch and against TensorRT's own ONNX parser."""
