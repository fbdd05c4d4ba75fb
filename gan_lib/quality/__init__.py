"""Measure image quality: images in, numbers out, independent of runs."""
