"""What every page is made of: frame and header, words, state in the address, text made inert, tables and buttons."""
