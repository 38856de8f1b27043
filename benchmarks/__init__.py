"""The one harness: trtdsl against the ONNX path and against TensorRT alone, see README.md."""
