"use strict";
{
for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending", text = row => row.cells[column].textContent.trim();
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows], number = row => { const found = text(row).replaceAll(",", "").match(/^[+-]?[\d.]+(e[+-]?\d+)?/i); return found ? Number(found[0]) : NaN; };
      rows.sort((a, b) => {
        const [x, y] = [number(a), number(b)];
        if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
        return (Number.isNaN(x) ? text(a).localeCompare(text(b)) : x - y) * (up ? 1 : -1);
      });
      body.append(...rows);
    };
  });
}
const filtered = (items, place, name) => {
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = name;
  field.setAttribute("aria-label", name);
  field.oninput = () => {
    const wanted = field.value.toLowerCase();
    for (const item of items) item.hidden = !item.textContent.toLowerCase().includes(wanted);
  };
  place.before(field);
};
for (const table of document.querySelectorAll("table.sort"))
  if (table.tBodies[0] && table.tBodies[0].rows.length > 12) filtered(table.tBodies[0].rows, table.closest(".scroll"), "show rows with …");
for (const sheet of document.querySelectorAll(".pictures")) {
  const items = sheet.children;
  if (items.length > 6) filtered(items, sheet, "show pictures with …");
}
const shown = document.createElement("dialog"), large = new Image(), words = document.createElement("div"), close = document.createElement("button");
shown.setAttribute("aria-label", "picture, enlarged");
close.textContent = "close";
close.className = "plain";
close.onclick = () => shown.close();
shown.onclick = event => { if (event.target === shown) shown.close(); };
shown.append(large, words, close);
for (const image of document.querySelectorAll(".picture img")) {
  const button = document.createElement("button");
  button.className = "zoom";
  button.setAttribute("aria-label", `enlarge: ${image.alt}`);
  image.replaceWith(button);
  button.append(image);
  button.onclick = () => {
    const caption = image.closest("figure").querySelector("figcaption");
    large.src = image.src;
    large.alt = image.alt;
    words.replaceChildren(...(caption ? caption.cloneNode(true).childNodes : []));
    if (!shown.isConnected) document.body.append(shown);
    shown.showModal();
  };
}
const menu = document.querySelector(".contents details");
if (menu) {
  const narrow = matchMedia("(max-width: 60rem)"), fit = () => { menu.open = !narrow.matches; };
  fit();
  narrow.onchange = fit;
  menu.onclick = event => { if (event.target.tagName === "A") fit(); };
}
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("main details")) part.open = true; });
}
