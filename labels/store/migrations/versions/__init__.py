"""One module for each revision of the label store's tables."""
