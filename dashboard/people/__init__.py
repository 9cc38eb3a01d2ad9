"""Who reads, what they may do and see, and what they say."""
