"""Judges: what turns answers into scores."""
