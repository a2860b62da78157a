"""One file per family of models: configuration, table of tensors, forward pass."""
