"""`python -m dashboard.serving.warm run ...`: `python -m streamlit run ...`, the pages' libraries loaded beforehand.

Streamlit loads a page's code when the first reader comes, who would wait for numpy, scipy and plotly to load.
"""

from __future__ import annotations

import importlib

NEEDED = (
    "dashboard.store.evidence",
    "dashboard.page.frame",
    "dashboard.points.picks",
    "dashboard.store.source",
    "dashboard.page.trust",
)
"""Modules of the first page that load much; pickers and views need a running page."""


def main() -> None:
    """Load, then be Streamlit."""
    for name in NEEDED:
        importlib.import_module(name)
    drawing = importlib.import_module("dashboard.charts.drawing")
    drawing.Figure().to_dict()  # plotly loads its parts when they are asked for
    importlib.import_module("streamlit.web.cli").main(prog_name="streamlit")


if __name__ == "__main__":
    main()
