"""Plays episodes: training, evaluation, resuming; and the schema of what a run leaves behind."""
