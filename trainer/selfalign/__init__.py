"""Self-alignment: the model under training makes its own pairs of a positive and a toxic answer."""
