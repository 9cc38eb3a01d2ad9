// A table whose rows can be opened by click, Enter, J and K, and ticked by a box. All text is set as text, never as HTML.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".sheet");
  const scrolled = root.scrollTop;
  const focused = focusOf(root);
  root.replaceChildren();
  root.style.maxHeight = data.height;
  const table = place("table", root, data.opens ? "" : "still");
  table.setAttribute("aria-label", data.title);
  const ticked = new Set(data.ticked);
  const boxes = [];
  const box = (parent, name, id) => {
    const input = place("input", parent);
    input.dataset.focus = `tick ${id}`;
    input.type = "checkbox";
    input.setAttribute("aria-label", name);
    input.onclick = (event) => event.stopPropagation();
    return input;
  };
  const wide = (column) => (/auto|%/.test(column.width) ? "wide" : ""); // texts and strips, not numbers
  const widths = place("colgroup", table);
  if (data.ticks) place("col", widths).style.width = "1.5rem";
  for (const column of data.columns) place("col", widths).style.width = column.width;
  const head = place("tr", place("thead", table));
  let every = null;
  const tell = () => setTriggerValue("ticked", data.rows.map((row) => row.id).filter((id) => ticked.has(id)));
  const show = () => {
    every.checked = boxes.length > 0 && boxes.every((one) => one.checked);
    every.indeterminate = !every.checked && boxes.some((one) => one.checked);
  };
  if (data.ticks) {
    every = box(place("th", head, "tick"), data.ticks, "");
    every.onchange = () => {
      for (const row of data.rows) every.checked ? ticked.add(row.id) : ticked.delete(row.id);
      for (const one of boxes) one.checked = every.checked;
      tell();
    };
  }
  for (const column of data.columns) {
    const cell = place("th", head, wide(column));
    cell.scope = "col";
    cell.textContent = column.name;
  }
  const body = place("tbody", table);
  const pick = (id) => setTriggerValue("picked", id);
  for (const row of data.rows) {
    const line = place("tr", body);
    line.dataset.id = row.id;
    if (data.opens) {
      const open = () => pick(row.id);
      line.tabIndex = 0;
      line.dataset.focus = `row ${row.id}`;
      if (row.id === data.selected) line.setAttribute("aria-current", "true");
      line.onclick = open;
      line.onkeydown = (event) => {
        if (event.target === line && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); open(); }
      };
    }
    if (data.ticks) {
      const cell = place("td", line, "tick");
      cell.onclick = (event) => event.stopPropagation();
      const input = box(cell, `${data.ticks}: ${row.cells[0].text}`, row.id);
      input.checked = ticked.has(row.id);
      input.onchange = () => { input.checked ? ticked.add(row.id) : ticked.delete(row.id); show(); tell(); };
      boxes.push(input);
    }
    for (const [index, cell] of row.cells.entries()) {
      const around = place("td", line, wide(data.columns[index]));
      around.title = cell.hint;
      if (cell.strip.length) {
        const strip = place("div", around, "boxes");
        strip.setAttribute("role", "img");
        strip.setAttribute("aria-label", cell.text);
        for (const tone of cell.strip) place("span", strip, tone);
      } else {
        (cell.tone ? place("span", around, `chip ${cell.tone}`) : around).textContent = cell.text;
      }
    }
  }
  if (every) show();
  if (!data.opens && !data.ticks) root.tabIndex = 0; // else its rows bring the keyboard here
  root.scrollTop = scrolled;
  const current = body.querySelector('[aria-current="true"]');
  if (current) {
    const top = current.offsetTop - 32, bottom = current.offsetTop + current.offsetHeight;
    if (top < root.scrollTop) root.scrollTop = top;
    if (bottom > root.scrollTop + root.clientHeight) root.scrollTop = bottom - root.clientHeight;
  }
  refocus(root, focused);
  return hearKeys(root, (event) => {
    if (!data.keys) return;
    const by = { j: 1, k: -1 }[event.key.toLowerCase()];
    const next = by && data.rows[data.rows.findIndex((row) => row.id === data.selected) + by];
    if (next) pick(next.id);
  });
}
