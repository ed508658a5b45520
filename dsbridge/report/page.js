// The page itself: what a bar's pieces are, the form, and the copy buttons. Uses recompute.js, which stands before.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const SVG = document.querySelector("svg").namespaceURI;

function gib(bytes) {
  const value = bytes / GIB, size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 1 ? 1 : 2);
}

function made(name, attributes, ...children) {
  const vector = ["rect", "line", "text"].includes(name);
  const element = vector ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- what a piece of a bar is made of -------------------------------------------------------------------
const tip = byId("tip");

function tellPiece(bar, group, x, y) {
  const said = data.tips[bar.dataset.tip];
  const terms = said && said.groups[group];
  if (!terms) return;
  const sum = terms.reduce((all, term) => all + term[1], 0);
  tip.replaceChildren(made("b", {}, `${data.group_names[group]}: ${gib(sum)} GiB`), said.name);
  for (const [part, bytes, least, most, formula] of terms) {
    const range = most - least > 2 ** 20 ? `, ${gib(least)} to ${gib(most)}` : "";
    const [text, source] = data.formulas[formula];
    tip.append(made("p", {}, `${part}: ${gib(bytes)} GiB${range}. ${text}`), made("small", {}, source));
  }
  for (const rect of bar.querySelectorAll("rect")) rect.classList.toggle("on", rect.dataset.group === group);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + box.height + 24 > innerHeight ? Math.max(8, y - box.height - 16) : y + 24}px`;
}

function hideTip() {
  tip.hidden = true;
  for (const rect of document.querySelectorAll("rect.on")) rect.classList.remove("on");
}

function groupsOf(bar) {
  return [...bar.querySelectorAll("rect[data-group]")].map((rect) => rect.dataset.group);
}

function step(bar, by) {
  const groups = groupsOf(bar), now = bar.querySelector("rect.on");
  const at = now ? groups.indexOf(now.dataset.group) + by : 0;
  const group = groups[(at + groups.length) % groups.length];
  const rect = bar.querySelector(`rect[data-group="${group}"]`).getBoundingClientRect();
  tellPiece(bar, group, rect.left, rect.top);
}

function listen(bar) {
  bar.addEventListener("pointermove", (event) => {
    const group = event.target.dataset && event.target.dataset.group;
    if (group) tellPiece(bar, group, event.clientX + 8, event.clientY);
    else hideTip();
  });
  bar.addEventListener("pointerdown", (event) => {
    const group = event.target.dataset && event.target.dataset.group;
    if (group) tellPiece(bar, group, event.clientX + 8, event.clientY);
  });
  bar.addEventListener("pointerleave", hideTip);
  bar.addEventListener("focus", () => bar.matches(":focus-visible") && groupsOf(bar).length && step(bar, 0));
  bar.addEventListener("blur", hideTip);
  bar.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hideTip();
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || !groupsOf(bar).length) return undefined;
    event.preventDefault();
    return step(bar, by);
  });
}

// --- the form -------------------------------------------------------------------------------------------
const form = byId("form");
const TEXTS = ["optimizer", "param", "checkpointing", "gpu"];

function choiceOf() {
  const choice = {};
  for (const field of form.elements) {
    choice[field.name] = TEXTS.includes(field.name) ? field.value : Number(field.value);
  }
  const gpu = data.gpus.find(([name]) => name === choice.gpu);
  choice.bf16 = gpu ? gpu[2] : true;
  // a catalogue GPU has its exact bytes, the box only two digits of them
  choice.room = gpu ? gpu[1] : choice.room * GIB;
  return choice;
}

// fields that follow: the accumulation from the global batch, the memory from the GPU
function follow(changed) {
  const choice = choiceOf();
  if (changed === "accumulation") {
    form.elements.global.value = choice.micro * choice.accumulation * replicasOf(data, choice);
  } else {
    const steps = accumulationOf(data, choice);
    form.elements.accumulation.value = Number.isInteger(steps) ? steps : "";
  }
  if (changed === "room") form.elements.gpu.value = "";
  else if (choice.gpu) form.elements.room.value = (choice.room / GIB).toFixed(2);
}

function drawBar(svg, found, choice) {
  const peak = found.peak, room = choice.room;
  const full = Math.min(Math.max(found.most * 1.04, room * 1.12), room * 2.5);
  const at = (value) => `${(100 * Math.min(Math.max(value, 0) / full, 1)).toFixed(2)}%`;
  const sums = new Map();
  for (const term of peak.terms) sums.set(term.group, (sums.get(term.group) || 0) + term.bytes);
  let end = 0;
  svg.replaceChildren();
  for (const [group, bytes] of [...sums].sort((a, b) => a[0] - b[0])) {
    if (bytes > 0 && end < full) {
      const width = at(Math.min(bytes, full - end));
      svg.append(made("rect", { x: at(end), width, y: 4, height: 18, class: `g${group}`, "data-group": group }));
    }
    end += bytes;
  }
  svg.append(made("line", { x1: at(room), x2: at(room), y1: 0, y2: 30, class: "room" }));
  if (found.most - peak.least > full / 1000) {
    const [low, high] = [at(peak.least), at(found.most)];
    for (const way of ["halo", "ink"]) {
      for (const [x1, x2, y1, y2] of [[low, high, 13, 13], [low, low, 9, 17], [high, high, 9, 17]]) {
        svg.append(made("line", { x1, x2, y1, y2, class: `whisker ${way}` }));
      }
    }
  }
  svg.setAttribute("aria-label", `${gib(peak.total)} GiB of ${gib(room)}, ${told(found)}`);
}

function table(caption, head, rows) {
  const cells = ([first, ...rest]) => made("tr", {}, made("th", { scope: "row" }, first),
    ...rest.map((text) => made("td", {}, text)));
  const top = made("tr", {}, ...head.map((name) => made("th", { scope: "col" }, name)));
  const whole = made("table", { class: "formulas" }, made("caption", {}, caption), made("thead", {}, top),
    made("tbody", {}, ...rows.map(cells)));
  return made("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

function rangeOf({ least, most }) {
  return most - least > 2 ** 20 ? `${gib(least)} to ${gib(most)}` : "";
}

// the parts of the fullest moment of each place, and what all moments come to
function partsTables({ memory, peak }) {
  const fullest = [["GPU", peak], ["host", largest(memory.host)], ["NVMe", largest(memory.nvme)]];
  const tables = fullest.filter(([, moment]) => moment && moment.total > 0).map(([place, moment]) => {
    const terms = moment.terms.filter((term) => term.most > 0).sort((a, b) => b.bytes - a.bytes);
    const rows = terms.map((t) => [t.part, gib(t.bytes), rangeOf(t), data.formulas[t.formula][0]]);
    return table(`${place}, ${moment.name}: ${gib(moment.total)} GiB`, ["part", "GiB", "range", "formula"], rows);
  });
  const totals = memory.gpu.map((moment) => [moment.name, gib(moment.total), rangeOf(moment), ""]);
  return [...tables, table("Every moment of a GPU", ["moment", "GiB", "range", ""], totals)];
}

function amount(value) {
  if (value >= 10) return Math.round(value).toLocaleString("en");
  return value >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}

function stepText(step) {
  const moved = [["inside", "by a GPU inside its node"], ["between", "by a node to others"], ["pcie", "between a GPU and its host"]]
    .filter(([field]) => step[field] > 0)
    .map(([field, text]) => `${amount(step[field] / 1e9)} GB ${text}`);
  const moves = moved.length ? `; moved: ${moved.join(", ")}` : "";
  return `a step takes ${amount(step.low)} to ${amount(step.high)} seconds${moves}`;
}

function tipOf(found) {
  const groups = {};
  for (const term of found.peak.terms) {
    if (term.most > 0) (groups[term.group] ||= []).push([term.part, term.bytes, term.least, term.most, term.formula]);
  }
  return { name: found.peak.name, groups };
}

function show() {
  const choice = choiceOf(), found = recompute(data, choice);
  const out = found.ruledOut.length > 0;
  const kind = out ? "out" : found.bent ? "tight" : found.verdict.replace(" ", "-");
  const text = out ? "ruled out" : found.bent ? "not recomputed here: dsbridge plan tells" : told(found);
  const chip = made("span", { class: `chip ${kind}` }, text);
  const head = byId("result-head");
  head.replaceChildren(chip);
  byId("result-why").replaceChildren(...found.ruledOut.map((why) => made("li", {}, why)));
  for (const id of ["result-bar", "result-parts", "result-spec", "result-more"]) {
    const element = byId(id);
    (element.closest("details") || element).toggleAttribute("hidden", !found.memory || (out && id === "result-spec"));
  }
  if (!found.memory) return;
  const { total, least, name } = found.peak;
  const spare = found.lacking > 0 ? "" : `, ${gib(-found.lacking)} GiB to spare`;
  const range = `(${gib(least)} to ${gib(found.most)})`;
  head.append(` ${gib(total)} GiB ${range} of ${gib(choice.room)} at its peak, ${name}${spare}`);
  drawBar(byId("result-bar"), found, choice);
  data.tips.result = tipOf(found);
  const places = [["host", "the host of a node"], ["nvme", "the disks of a node"]]
    .map(([place, text]) => [largest(found.memory[place]), text])
    .filter(([moment]) => moment && moment.total > 0)
    .map(([moment, text]) => `${text} holds ${gib(moment.total)} GiB`.replace("disks of a node holds", "disks of a node hold"));
  if (!out) places.push(...found.reasons);
  if (found.step) places.unshift(stepText(found.step));
  else if (!out) places.push(`step time is known for ${data.start.gpu} alone`);
  byId("result-more").textContent = places.length ? `${places.join("; ")}.` : "";
  byId("result-parts").replaceChildren(...partsTables(found));
  if (!out) byId("result-spec").firstChild.textContent = specOf(data, choice);
}

form.addEventListener("input", (event) => {
  follow(event.target.name);
  show();
});
form.addEventListener("submit", (event) => event.preventDefault());

// --- copying, and paper ---------------------------------------------------------------------------------
async function copy(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
for (const bar of document.querySelectorAll("svg.stacked")) listen(bar);
addEventListener("scroll", hideTip, { passive: true });
byId("what-if").hidden = false;
follow("");
show();
