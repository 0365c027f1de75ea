"""Pictures for training: `readers.py` (folder, zip, tar), `augmentation.py`, `batches.py` (order, flips, masks),
`prepare.py` (the paper's data sets)."""
