"""The risk taxonomy that triples are sorted by, as data."""
