// Saves a chart of the page through Plotly's own button, in either format.
export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".images");
  root.replaceChildren();
  for (const format of data.formats) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = format.toUpperCase();
    button.setAttribute("aria-label", `${data.title} ${format.toUpperCase()}`);
    button.onclick = () => {
      const graph = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
      const own = graph?.querySelector('.modebar-btn[data-attr="toImage"], .modebar-btn');
      if (!own) return;
      graph._context.toImageButtonOptions = { format, filename: data.name, scale: format === "png" ? 2 : 1 };
      own.click();
    };
    root.appendChild(button);
  }
}
