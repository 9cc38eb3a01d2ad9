"""PNG and SVG of a chart, made in the browser by Plotly itself: nothing is sent anywhere."""

from __future__ import annotations

from typing import Any

from dashboard.page.components import component
from dashboard.page.frame import Frame

CONFIG: dict[str, Any] = {"displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]]}
"""Of charts with such buttons: Plotly's own one stays, unseen, and is what they press."""


def buttons(frame: Frame, chart: str, name: str) -> None:
    """Two buttons that save the chart with the key `chart` as NAME.png and NAME.svg."""
    data = {"chart": chart, "name": name, "title": frame.words("frontier.save_as"), "formats": ["png", "svg"]}
    _IMAGES(key=f"images_{chart}", data=data)


_IMAGES = component("images", styles=())
