"""Base, two fine-tunes and a grid in; the exact weights of any merge point, its config and its bundle out."""
