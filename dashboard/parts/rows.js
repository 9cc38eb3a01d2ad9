// A table whose rows can be picked by click, Enter, J and K. All text is set as text, never as HTML.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".rows");
  const place = (tag, parent, name) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    parent.appendChild(element);
    return element;
  };
  const scrolled = root.scrollTop;
  root.replaceChildren();
  root.style.maxHeight = data.height;
  const table = place("table", root);
  table.setAttribute("aria-label", data.title);
  const widths = place("colgroup", table);
  for (const column of data.columns) place("col", widths).style.width = column.width;
  const head = place("tr", place("thead", table));
  for (const column of data.columns) {
    const cell = place("th", head);
    cell.scope = "col";
    cell.textContent = column.name;
  }
  const body = place("tbody", table);
  const pick = (id) => setTriggerValue("picked", id);
  for (const row of data.rows) {
    const line = place("tr", body);
    line.tabIndex = 0;
    line.setAttribute("aria-selected", String(row.id === data.selected));
    line.dataset.id = row.id;
    line.onclick = () => pick(row.id);
    line.onkeydown = (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(row.id); }
    };
    for (const cell of row.cells) {
      const box = place("td", line);
      const inner = cell.tone ? place("span", box, `chip ${cell.tone}`) : box;
      inner.textContent = cell.text;
      box.title = cell.hint;
    }
  }
  root.scrollTop = scrolled;
  const selected = body.querySelector('[aria-selected="true"]');
  if (selected) {
    const top = selected.offsetTop - 32, bottom = selected.offsetTop + selected.offsetHeight;
    if (top < root.scrollTop) root.scrollTop = top;
    if (bottom > root.scrollTop + root.clientHeight) root.scrollTop = bottom - root.clientHeight;
  }
  const step = (event) => {
    const target = event.composedPath()[0];
    const typing = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !data.keys) return;
    const by = { j: 1, k: -1 }[event.key.toLowerCase()];
    const next = by && data.rows[data.rows.findIndex((row) => row.id === data.selected) + by];
    if (next) pick(next.id);
  };
  document.addEventListener("keydown", step);
  return () => document.removeEventListener("keydown", step);
}
