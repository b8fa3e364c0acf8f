"""The shop engine: the original WebShop's behaviour without Java, HTML or a server."""
