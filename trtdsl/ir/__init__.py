"""The layers of a network definition: TensorRT's own, one frozen dataclass each."""
