"""Weights and prompts in; answers, scores and metrics in results.duckdb out."""
