"""WikiHow: an app of how-to articles on the screen of a phone, offline and of our own making."""
