"""What the Failures page is made of: answers as arrays, kinds of failure, slices, wavering prompts, export as pairs."""
