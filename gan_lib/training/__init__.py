"""Networks, losses and training steps: tensors in, tensors out."""
