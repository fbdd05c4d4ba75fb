"""Questions that are answered from many runs, one file each."""
