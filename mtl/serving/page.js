const COLOURS = [[0,0,0],[255,80,80],[80,200,255],[120,255,120],[255,220,80],[200,120,255],[255,160,80]];
const MIN_SCORE = 0.4;
const at = id => document.getElementById(id);
let model = null;

async function describe() {
  const answer = await fetch("model");
  model = await answer.json();
  at("model").textContent = `version ${model.version}: ` + Object.keys(model.tasks).join(", ");
}

async function predict(file) {
  at("problem").textContent = "";
  at("answers").hidden = at("picture").hidden = true;
  at("keys").replaceChildren();
  try {
    if (!model) await describe();
    const answer = await fetch("predict", {method: "POST", body: file, headers: {"content-type": "application/octet-stream"}});
    const found = await answer.json();
    if (!answer.ok) {
      const {what, found: seen, fix} = found.error;
      at("problem").textContent = [what, seen && `found: ${seen}`, fix && `fix: ${fix}`].filter(Boolean).join("\n");
      return;
    }
    await draw(await createImageBitmap(file), found.predictions[0]);
  } catch (error) { at("problem").textContent = `The server did not answer: ${error}`; }
}

async function mask(text) {
  const blob = await (await fetch(`data:image/png;base64,${text}`)).blob();
  const image = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, image.width, image.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const label = pixels.data[i], colour = COLOURS[label % COLOURS.length];
    pixels.data.set([...colour, label ? 120 : 0], i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

// Words at boxes, beside each other: one for which there is no room is left out, the table has it.
function label(pen, boxes, canvas) {
  const taken = [], height = 17;
  pen.font = "13px system-ui"; pen.textBaseline = "top";
  for (const [text, x1, y1, x2, y2] of boxes) {
    const width = pen.measureText(text).width + 6;
    const spots = [[x1, y1 - height], [x1, y2], [x2 - width, y1 - height], [x2 - width, y2], [x1, y1], [x1, y2 - height]]
      .map(([x, y]) => [Math.min(Math.max(x, 0), Math.max(canvas.width - width, 0)), y])
      .filter(([x, y]) => y >= 0 && y + height <= canvas.height
        && !taken.some(([a, b, w]) => x < a + w && a < x + width && y < b + height && b < y + height));
    if (!spots.length) continue;
    const [x, y] = spots[0];
    taken.push([x, y, width]);
    pen.fillStyle = "#141414"; pen.fillRect(x, y, width, height);
    pen.fillStyle = "#fff"; pen.fillText(text, x + 3, y + 2);
  }
}

async function draw(image, row) {
  const canvas = at("picture"), scale = Math.max(1, Math.round(640 / Math.max(image.width, image.height)));
  canvas.width = image.width * scale; canvas.height = image.height * scale;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  const body = at("answers").tBodies[0];
  body.replaceChildren();
  const say = (task, text) => { const line = body.insertRow(); line.insertCell().textContent = task; line.insertCell().textContent = text; };
  for (const [name, task] of Object.entries(model.tasks)) if (task.serves === "mask") {
    pen.drawImage(await mask(row[name]), 0, 0, canvas.width, canvas.height);
    task.classes.forEach((label, i) => { if (i) {
      const key = document.createElement("span"); key.className = "key"; key.style.background = `rgb(${COLOURS[i % COLOURS.length]})`;
      at("keys").append(key, `${name}: ${label}`);
    }});
  }
  for (const [name, task] of Object.entries(model.tasks)) {
    if (task.serves === "label") say(name, `${row[name]} (${row[name + "_score"].toFixed(2)})`);
    else if (task.serves === "labels") say(name, row[name].join(", ") || "none");
    else if (task.serves === "value") say(name, `${row[name].toFixed(2)} ${task.unit}`);
    else if (task.serves === "boxes") {
      const shown = row[name].filter(box => box.score >= MIN_SCORE);
      say(name, shown.map(box => `${box.label} ${box.score.toFixed(2)}`).join(", ") || "none");
      pen.strokeStyle = "#50ff50"; pen.lineWidth = 2;
      for (const box of shown) {
        const [x, y, w, h] = [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1].map(v => v * scale);
        pen.strokeRect(x, y, w, h);
        const points = (box.points || []).map(p => [p.x * scale, p.y * scale]);
        for (const [a, b] of task.edges || []) { pen.beginPath(); pen.moveTo(...points[a]); pen.lineTo(...points[b]); pen.stroke(); }
        pen.fillStyle = "#ff5050"; for (const [a, b] of points) pen.fillRect(a - 2, b - 2, 5, 5);
      }
      label(pen, shown.map(box => [box.label, box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale]), canvas);
    } else if (task.serves === "picture") {
      const line = body.insertRow(), picture = new Image();
      line.insertCell().textContent = name;
      picture.src = `data:image/png;base64,${row[name]}`; picture.alt = name; picture.width = 256; picture.className = "pixels";
      line.insertCell().append(picture);
    }
  }
  canvas.hidden = at("answers").hidden = false;
}

const zone = at("drop"), input = at("file");
zone.onclick = () => input.click();
zone.onkeydown = event => { if (event.key === "Enter" || event.key === " ") input.click(); };
input.onchange = () => input.files[0] && predict(input.files[0]);
for (const kind of ["dragover", "dragleave", "drop"]) zone.addEventListener(kind, event => {
  event.preventDefault();
  zone.classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files[0]) predict(event.dataTransfer.files[0]);
});
describe().catch(error => { at("model").textContent = `The server did not answer: ${error}`; });
