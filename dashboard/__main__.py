"""The server's process: `python -m dashboard run ...` is `python -m streamlit run ...`, ready for its first reader.

Streamlit loads a page's code when the first reader comes, who would wait for numpy, scipy, pandas and plotly to load,
and for the newest study's answers to be read.
"""

from __future__ import annotations

import gc
import importlib
import threading

from dashboard.points.ahead import read_ahead

NEEDED = ("dashboard.page.trust", "dashboard.study.runs", "pandas", "pyarrow.compute")
"""Modules of the first page that load much, beside those of `read_ahead`; pandas and pyarrow are for its components.
What defines components, as pickers and views do, needs a running page."""


def main() -> None:
    """Load, then be Streamlit, while the first study is read."""
    threading.Thread(target=read_ahead, name="read ahead", daemon=True).start()
    for name in NEEDED:
        importlib.import_module(name)
    drawing = importlib.import_module("dashboard.charts.drawing")
    drawing.Figure().to_dict()  # plotly loads its parts when they are asked for
    cli = importlib.import_module("streamlit.web.cli")
    gc.freeze()  # all this stays: a full collection that walked it would stop a page for 80 ms
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
