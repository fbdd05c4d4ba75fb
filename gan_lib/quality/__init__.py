"""How good images are: images in, numbers out; knows no run."""
