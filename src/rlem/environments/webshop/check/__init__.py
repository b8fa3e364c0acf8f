"""Recordings of the original shop, replayed against ours: ``rlem env check webshop``."""
