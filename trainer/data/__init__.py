"""What preference data holds before it is trained on (repeats, overlap, lengths, coverage), and how it is imported."""
