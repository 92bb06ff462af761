"""The control plane: accounts, keys, balances, top-ups and prices, and their projection to the edge."""
