"""Experiments: rows of a table, each played as many runs, resumed and cached, and put side by side."""
