"""rlem's environments and memory inside of other people's frameworks. Each module needs its own extra."""
