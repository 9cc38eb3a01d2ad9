// A line of verdict buttons for each answer, by click or by digits. All text is set as text, never as HTML.
const PATIENCE_MS = 3000;
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".rating");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", data.title);
  const what = JSON.stringify(data.lines.map((line) => line.id));
  if (root.dataset.what !== what) { root.dataset.what = what; root.dataset.active = "0"; root.dataset.left = "0"; }
  root.replaceChildren();
  const marks = [];
  const pick = (line, mark, option) => {
    if (data.disabled) return;
    setTriggerValue("picked", [...line.id, mark.axis, option]);
  };
  const activate = (number) => {
    root.dataset.active = String((number + marks.length) % marks.length);
    marks.forEach((mark, index) => mark.box.classList.toggle("active", String(index) === root.dataset.active));
  };
  for (const line of data.lines) {
    const row = place("div", root, "line");
    place("span", row, "label", line.label);
    for (const mark of line.marks) {
      const box = place("div", row, "mark");
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", [line.label, mark.name].filter(Boolean).join(": "));
      place("span", box, "name", mark.name);
      const number = marks.length;
      for (const [option, text] of mark.options) {
        const button = place("button", box, "", text);
        button.type = "button";
        button.disabled = data.disabled;
        button.setAttribute("aria-pressed", String(option === mark.chosen));
        button.onclick = () => { pick(line, mark, option); activate(number + 1); };
      }
      marks.push({ box, line, mark });
    }
  }
  if (marks.length) activate(Math.min(Number(root.dataset.active), marks.length - 1));
  return hearKeys(root, (event) => {
    if (!marks.length) return;
    const active = Number(root.dataset.active);
    // whoever has gone on means the next answer: a digit that comes before it is shown must not fall on this one
    if (/^[jkn]$/i.test(event.key)) root.dataset.left = String(Date.now());
    if (Date.now() - Number(root.dataset.left) < PATIENCE_MS) return;
    if (event.key.toLowerCase() === "h") activate(active + (event.shiftKey ? -1 : 1));
    const { line, mark } = marks[active];
    const option = /^[1-9]$/.test(event.key) && mark.options[Number(event.key) - 1];
    if (!option) return;
    pick(line, mark, option[0]);
    activate(active + 1);
  });
}
