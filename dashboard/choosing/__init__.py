"""Parts of the page on which a point is chosen and leaves."""
