"""Figures: pure functions from numbers to Plotly's figures; drawing them in a page is the page's."""
