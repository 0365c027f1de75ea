"""Masks drawn at random by coverage class, to train and to test on."""
