// One prompt along the ratio: rows of coloured buttons. All text is set as text, never as HTML.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".strip");
  const focused = focusOf(root);
  root.replaceChildren();
  let run = null;
  for (const cell of data.cells) {
    if (run === null || cell.run !== run.dataset.name) {
      place("span", root, "name", cell.run);
      run = place("div", root, "run");
      run.dataset.name = cell.run;
    }
    const button = place("button", run);
    button.type = "button";
    button.dataset.focus = cell.id;
    button.title = cell.hint;
    button.setAttribute("aria-label", `${cell.run} ${cell.label}: ${cell.hint}`);
    button.setAttribute("aria-pressed", String(cell.shown));
    place("span", button, `box ${cell.tone}`);
    place("span", button, "", cell.label);
    button.onclick = () => setTriggerValue("picked", cell.id);
  }
  refocus(root, focused);
}
