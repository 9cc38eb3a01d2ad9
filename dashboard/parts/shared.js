// What several components do; stands in front of each of them. All text is set as text, never as HTML.
const place = (tag, parent, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  parent.appendChild(element);
  return element;
};
// Where the focus is, by data-focus, and to bring it back once all is drawn anew.
const focusOf = (root) => root.getRootNode().activeElement?.dataset?.focus;
const refocus = (root, focused) => {
  const again = focused && [...root.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused);
  if (again) again.focus({ preventScroll: true });
};
// Keys that are pressed for the page, not into a field or for the browser. A component runs again whenever its data
// changes, and what it returns runs only once: the listener before must not hear keys any more.
const hearKeys = (root, listener) => {
  const hear = (event) => {
    const target = event.composedPath()[0];
    const typing = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
    if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) listener(event);
  };
  root.deafen?.();
  document.addEventListener("keydown", hear);
  root.deafen = () => document.removeEventListener("keydown", hear);
  return () => root.deafen();
};
