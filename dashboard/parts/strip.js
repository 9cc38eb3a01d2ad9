// One prompt along the ratio: a row of coloured buttons. All text is set as text, never as HTML.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".strip");
  root.replaceChildren();
  for (const cell of data.cells) {
    const button = document.createElement("button");
    button.type = "button";
    if (cell.apart) button.className = "apart";
    button.title = cell.hint;
    button.setAttribute("aria-label", `${cell.label}: ${cell.hint}`);
    button.setAttribute("aria-pressed", String(cell.shown));
    const box = document.createElement("span");
    box.className = `box ${cell.tone}`;
    const label = document.createElement("span");
    label.textContent = cell.label;
    button.append(box, label);
    button.onclick = () => setTriggerValue("picked", cell.id);
    root.appendChild(button);
  }
}
