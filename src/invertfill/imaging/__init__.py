"""Pictures and masks as files, and as regions that fit a model. NumPy and Pillow only."""
