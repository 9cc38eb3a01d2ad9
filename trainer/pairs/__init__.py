"""Pairs that models made, and what people decided about them."""
