"""Both training stages: `gan.py` (the generator) and `inversion.py` (everything in front of it), run by `loop.py`."""
