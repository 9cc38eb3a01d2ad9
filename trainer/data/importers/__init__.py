"""Published preference sets read as triples: one module for each form."""
