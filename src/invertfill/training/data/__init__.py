"""Pictures for training: `readers.py` (folder, zip, tar), `degrade.py`, `batches.py` (order, flips, masks),
`prepare.py` (the paper's data sets)."""
