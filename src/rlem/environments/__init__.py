"""Worlds of text: the contract, the shop, a toy, and a registry of them by name."""
