"""Losses and the feature networks behind them; one function for each equation of the paper."""
