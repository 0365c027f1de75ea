"""The networks, one file for each part of the paper's Figure 2; the generators in a folder of their own."""
