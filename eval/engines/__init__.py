"""Engines: what turns prompts into answers, with weights swapped in place."""
