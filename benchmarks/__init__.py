"""Measurements and pictures that the documentation shows; each is run by hand."""
