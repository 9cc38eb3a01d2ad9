"""The demo's small Japanese world: its subjects, prompts and answers, written for this project."""
