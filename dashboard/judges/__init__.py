"""What the Judges page is made of."""
