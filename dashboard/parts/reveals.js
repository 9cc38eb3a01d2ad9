// Hears which blurred texts are shown on the page and tells their ids; a text is shown at once, whatever comes of it.
// To readers who listen, a blurred text is not there at all until then.
const MOST = 50; // of the latest ids are told each time: none is lost while the page is busy
export default function (component) {
  const { setStateValue } = component;
  let told = [];
  const hear = (event) => {
    const box = event.composedPath()[0];
    if (!(box instanceof HTMLInputElement) || box.dataset.reveals === undefined) return;
    for (const text of box.closest(".ms-card").querySelectorAll(".ms-blurred")) text.ariaHidden = String(!box.checked);
    if (!box.checked) return;
    told = [...told, `${Date.now()}:${box.dataset.reveals}`].slice(-MOST);
    setStateValue("shown", told);
  };
  document.addEventListener("change", hear, true);
  return () => document.removeEventListener("change", hear, true);
}
