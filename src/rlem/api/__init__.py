"""The public face: memory, similarity and advice behind one object."""
