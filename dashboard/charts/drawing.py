"""Figures as plain values: what charts need of `plotly.graph_objects`, without its check of every property.

Those checks take most of a page's time, and what they find does not depend on the numbers drawn. So a figure is checked
where somebody looks into it (`data`, `layout`: the tests of every chart), not where it is shown.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import plotly.graph_objects as go
from plotly.basedatatypes import BaseFigure


class Part(dict[str, Any]):
    """A trace or a layout."""

    def update(self, *given: Mapping[str, Any], **more: Any) -> Self:  # type: ignore[override]  # as plotly's does
        """Set properties; one that has properties itself keeps those that are not named."""
        for name, value in [*(pair for one in given for pair in one.items()), *more.items()]:
            there = self.get(name)
            both = isinstance(there, Mapping) and isinstance(value, Mapping)
            self[name] = Part(there or {}).update(value) if both else value
        return self


class Scatter(Part):
    """A scatter trace, by properties as plotly has them."""

    def __init__(self, **properties: Any) -> None:
        super().__init__(type="scatter", **properties)


class Figure(BaseFigure):  # type: ignore[misc]  # plotly has no types
    """A figure that Streamlit takes for one of plotly's."""

    def __init__(self, data: Part | Sequence[Part] = (), layout: Mapping[str, Any] | None = None) -> None:
        self._traces = [data] if isinstance(data, Part) else list(data)
        self._own = Part(layout or {})

    def to_dict(self) -> dict[str, Any]:
        """What the browser draws."""
        return {"data": self._traces, "layout": {"template": _template(), **self._own}}

    def update_layout(self, **more: Any) -> Figure:
        """Set properties of the layout."""
        self._own.update(more)
        return self

    def update_xaxes(self, **more: Any) -> Figure:
        """Set properties of the axis across."""
        return self.update_layout(xaxis=more)

    def update_yaxes(self, **more: Any) -> Figure:
        """Set properties of the axis upwards."""
        return self.update_layout(yaxis=more)

    @property
    def data(self) -> Any:
        """The traces, checked. Raises ValueError where a property is none of plotly's."""
        return self._checked().data

    @property
    def layout(self) -> Any:
        """The layout, checked as `data`."""
        return self._checked().layout

    def _checked(self) -> go.Figure:
        return go.Figure(data=self._traces, layout=self._own)


@functools.cache
def _template() -> dict[str, Any]:
    """Streamlit's own look, which the browser fills with the theme's colours."""
    template: dict[str, Any] = go.Figure().to_dict()["layout"]["template"]
    return template
