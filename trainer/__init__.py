"""Triples in; model-safe and model-useful out."""
