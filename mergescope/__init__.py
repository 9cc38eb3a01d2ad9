"""Mergescope: train, merge, judge and choose the final checkpoint of a safety-tuned LLM."""
