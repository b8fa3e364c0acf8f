"""A shop on disk: the original's files are imported once into one file that is opened, not loaded."""
