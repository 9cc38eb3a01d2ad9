"""The parts of the Frontier page, each drawn by one function of the frame."""
