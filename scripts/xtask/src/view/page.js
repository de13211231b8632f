// The page's moving parts: zoom, labels, the inspector, the choice among L2s.
//
// Everything it knows is in the element `data`; what is drawn in the picture's group `world` is
// only stretched. Addresses have at most 52 bits, so they are exact as numbers.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const LINE = 15;      // height of a line of words, as in labels.rs
  const LISTED = 4;     // ranges of another table shown beside the one in question
  const TRACED = 400;   // and drawn

  const data = JSON.parse(document.getElementById("data").textContent);
  const { height: DRAWN, width: W, left: LEFT, stub: STUB } = data.geometry;
  let H = DRAWN;        // height of what can be seen; all of the picture fits into it at zoom 1
  const byId = (id) => document.getElementById(id);
  const hex = (number) => "0x" + number.toString(16);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const SPACES = { guest: [0, 1], host: [1, 2], shadow: [0, 2] };
  const TITLES = { guest: "guest stage 2", host: "host stage 2", shadow: "shadow stage 2" };
  const NAMES = ["L2 IPA", "L1 IPA", "PA"];

  for (const table of data.tables) {
    for (const range of table.ranges) {
      range.start = Number(range.ia);
      range.bytes = Number(range.size);
      range.end = range.start + range.bytes;
      range.out = range.oa === null ? null : Number(range.oa);
    }
  }

  // --- Scenes ---------------------------------------------------------------------------------

  const scenes = data.scenes.map((scene, number) => {
    const svg = byId("scene-" + number);
    const axes = scene.axes.map((pieces) => pieces.map(([start, end, top, bottom, mapped]) =>
      ({ start: Number(start), end: Number(end), top, bottom, mapped })));
    const tables = Object.fromEntries(scene.tables);
    const ribbons = [...svg.querySelectorAll(".ribbon")].map((element) => {
      const [table, range] = element.dataset.r.split("-").map(Number);
      const layer = Object.keys(tables).find((name) => tables[name] === table);
      return { element, table, layer, range: data.tables[table].ranges[range] };
    });
    for (const ribbon of ribbons) {
      ribbon.top = heightOf(axes[SPACES[ribbon.layer][0]], ribbon.range.start);
      ribbon.bottom = heightOf(axes[SPACES[ribbon.layer][0]], ribbon.range.end);
      const { out, bytes } = ribbon.range;
      ribbon.ends = [[ribbon.top, ribbon.bottom]];
      if (out !== null) ribbon.ends.push([out, out + bytes].map((address) => heightOf(axes[SPACES[ribbon.layer][1]], address)));
      const next = ribbon.element.nextElementSibling;
      ribbon.parts = next?.classList.contains("hatch") ? [ribbon.element, next] : [ribbon.element];
    }
    const least = Math.min(...axes.flat().filter((piece) => piece.mapped).map((piece) => piece.bottom - piece.top), DRAWN);
    return {
      svg, axes, tables, ribbons, marks: scene.marks,
      byElement: new Map(ribbons.map((ribbon) => [ribbon.element, ribbon])),
      world: svg.querySelector(".world"), words: svg.querySelector(".words"), marksGroup: svg.querySelector(".marks"),
      trace: svg.querySelector(".trace"), hatch: svg.querySelector(".hatch-pattern"),
      most: Math.max(4, 48 / least), zoom: 1, offset: 0,
    };
  });
  let scene = scenes[0];
  let mode = scene.tables.guest === null ? "both" : "stages";
  let shown = null;
  let pinned = null;

  function heightOf(pieces, address) {
    let low = 0, high = pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pieces[middle].end <= address) low = middle + 1; else high = middle;
    }
    const piece = pieces[low];
    if (!piece) return pieces.length ? pieces[pieces.length - 1].bottom : 0;
    if (address <= piece.start) return piece.top;
    return piece.top + (piece.bottom - piece.top) * (address - piece.start) / (piece.end - piece.start);
  }

  const scale = () => scene.zoom * H / DRAWN;

  // --- Zoom -----------------------------------------------------------------------------------

  function zoomAbout(factor, at) {
    const zoom = clamp(scene.zoom * factor, 1, scene.most);
    scene.offset = at - (at - scene.offset) * zoom / scene.zoom;
    scene.zoom = zoom;
    draw();
  }

  function fit() {
    scene.zoom = 1;
    scene.offset = 0;
    draw();
  }

  function move(by) {
    scene.offset += by;
    draw();
  }

  function zoomTo(top, bottom) {
    scene.zoom = clamp(DRAWN * .3 / Math.max(bottom - top, 1e-6), 1, scene.most);
    scene.offset = H / 2 - (top + bottom) / 2 * scale();
    draw();
  }

  /// Moves so that a ribbon's beginning can be seen, if it cannot.
  function reveal({ top, bottom }) {
    const [from, to] = [top, bottom].map(onScreen);
    if (to < 8 || from > H - 8) move(H / 2 - (from + Math.min(to, from + H / 2)) / 2);
  }

  /// Gives the picture the height that the window has left.
  function resize() {
    const box = scene.svg.viewBox.baseVal;
    const { width, top } = scene.svg.getBoundingClientRect();
    const left = innerHeight - (top + scrollY) - byId("legend").offsetHeight - 24;
    const room = Math.max(Math.min(left, width), 420);
    box.height = room * box.width / width;
    scene.svg.style.height = room + "px";
    H = box.height + box.y - 14;
    scene.svg.querySelector(".window").setAttribute("height", H + 2);
    draw();
  }

  let isDrawing = false;
  function draw() {
    scene.offset = clamp(scene.offset, H - H * scene.zoom, 0);
    scene.svg.dataset.zoom = scene.zoom.toFixed(3);
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => { isDrawing = false; paint(); });
  }

  function paint() {
    const { zoom, offset } = scene;
    scene.world.setAttribute("transform", `matrix(1 0 0 ${scale()} 0 ${offset})`);
    scene.hatch.setAttribute("patternTransform", `scale(1 ${1 / scale()}) rotate(45)`);
    byId("level").textContent = (zoom < 10 ? zoom.toFixed(1).replace(/\.0$/, "") : Math.round(zoom)) + "×";
    const rail = byId("rail");
    rail.hidden = zoom <= 1;
    rail.firstElementChild.style.top = 100 * -offset / (H * zoom) + "%";
    rail.firstElementChild.style.height = 100 / zoom + "%";
    const words = document.createDocumentFragment();
    for (const ribbon of scene.ribbons) {
      hide(ribbon);
      ribbonWords(words, ribbon);
    }
    scene.axes.forEach((pieces, column) => columnWords(words, pieces, LEFT[column]));
    scene.words.replaceChildren(words);
    for (const mark of scene.marksGroup.children) {
      const [, column, at] = scene.marks.find(([finding]) => finding === Number(mark.dataset.f));
      mark.setAttribute("transform", `translate(${LEFT[column]} ${onScreen(at)})`);
    }
  }

  const onScreen = (height) => height * scale() + scene.offset;

  /// Hides what only passes by: close up, thousands of ribbons from elsewhere to elsewhere would
  /// cover the few that are looked at. They stay in the order of Tab.
  function hide(ribbon) {
    const isAway = ribbon !== shown && ribbon.ends.every(([top, bottom]) => onScreen(bottom) < 0 || onScreen(top) > H);
    if (isAway === Boolean(ribbon.isAway)) return;
    ribbon.isAway = isAway;
    for (const element of ribbon.parts) element.classList.toggle("away", isAway);
  }

  function word(parent, className, x, y, text) {
    const element = document.createElementNS(SVG, "text");
    element.setAttribute("class", className);
    element.setAttribute("x", x);
    element.setAttribute("y", y);
    element.textContent = text;
    parent.append(element);
  }

  function ribbonWords(parent, { layer, range, top, bottom }) {
    const isShown = mode === "shadow" ? layer === "shadow" : layer !== "shadow" || scene.tables.guest === null;
    const [from, to] = [Math.max(onScreen(top), 0), Math.min(onScreen(bottom), H)];
    if (!isShown || to - from < LINE) return;
    word(parent, "note", LEFT[SPACES[layer][0]] + W + 10, (from + to) / 2, `${range.text} · ${range.access}`);
  }

  /// The same choice as in labels.rs, for what can be seen.
  function columnWords(parent, pieces, left) {
    const taken = new Uint8Array(Math.ceil(H) + 2 * LINE);
    const place = (className, x, y, text) => {
      if (y < LINE / 2 || y > H - LINE / 2) return;
      const first = Math.round(y);
      if (taken[first] || taken[first + LINE - 1]) return;
      taken.fill(1, first, first + LINE);
      word(parent, className, x, y, text());
    };
    const seen = pieces.filter((piece) => onScreen(piece.bottom) > 0 && onScreen(piece.top) < H);
    const address = (piece) => place("address", left + 10, onScreen(piece.top) + LINE / 2, () => hex(piece.start));
    seen.forEach((piece, index) => { if (piece.mapped && !(index && seen[index - 1].mapped)) address(piece); });
    for (const gap of seen) {
      if (!gap.mapped) {
        const middle = (Math.max(onScreen(gap.top), 0) + Math.min(onScreen(gap.bottom), H)) / 2;
        place("elided", left + W / 2, middle, () => sizeText(gap.end - gap.start));
      }
    }
    for (const piece of seen) if (piece.mapped) address(piece);
  }

  /// As `short_size_text` in model.rs.
  function sizeText(bytes) {
    const units = ["B", "K", "M", "G", "T", "P", "E"];
    let unit = 0, exact = bytes;
    while (exact && exact % 1024 === 0 && unit < units.length - 1) { exact /= 1024; unit += 1; }
    if ((exact + units[unit]).length <= 5) return exact + units[unit];
    unit = clamp(Math.floor(Math.log2(bytes) / 10), 1, 6);
    const tenths = Math.floor(bytes / 1024 ** unit * 10);
    return (tenths >= 1000 ? Math.floor(tenths / 10) : (tenths / 10).toFixed(1)) + units[unit];
  }

  // --- What leads where -----------------------------------------------------------------------

  const rangesOf = (layer) => data.tables[scene.tables[layer]]?.ranges ?? [];

  /// Parts of a layer's ranges whose input lies in `start..end`.
  function partsAt(layer, start, end) {
    const parts = [];
    for (const range of rangesOf(layer)) {
      if (range.start >= end) break;
      if (range.end > start) parts.push(part(layer, range, Math.max(start, range.start), Math.min(end, range.end)));
    }
    return parts;
  }

  function part(layer, range, start, end) {
    return { layer, range, start, end, out: range.out === null ? null : range.out + (start - range.start) };
  }

  /// The range itself, then what the other tables have to do with it.
  function related({ layer, range }) {
    const self = part(layer, range, range.start, range.end);
    const through = (parts) => parts.flatMap((one) =>
      one.out === null ? [] : partsAt("host", one.out, one.out + (one.end - one.start)));
    if (layer === "guest") return [[self], through([self]), partsAt("shadow", range.start, range.end)];
    if (layer === "shadow") {
      const guests = partsAt("guest", range.start, range.end);
      return [[self], guests, through(guests)];
    }
    const guests = rangesOf("guest").flatMap((guest) => {
      if (guest.out === null) return [];
      const [start, end] = [Math.max(guest.out, range.start), Math.min(guest.out + guest.bytes, range.end)];
      return start < end ? [part("guest", guest, start - guest.out + guest.start, end - guest.out + guest.start)] : [];
    });
    return [[self], guests];
  }

  function outline({ layer, start, end, out }) {
    const [input, output] = SPACES[layer];
    const left = LEFT[input] + W, right = LEFT[output], middle = (left + right) / 2;
    const [a, b] = [start, end].map((address) => heightOf(scene.axes[input], address));
    if (out === null) return `M${left} ${a}H${left + STUB}V${b}H${left}Z`;
    const [c, d] = [out, out + (end - start)].map((address) => heightOf(scene.axes[output], address));
    return `M${left} ${a}C${middle} ${a} ${middle} ${c} ${right} ${c}V${d}C${middle} ${d} ${middle} ${b} ${left} ${b}Z`;
  }

  // --- The inspector --------------------------------------------------------------------------

  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }

  function facts(pairs) {
    const list = make("dl", "");
    for (const [name, value] of pairs) if (value) list.append(make("dt", "", name), make("dd", "", value));
    return list;
  }

  function step(one, isFirst) {
    const { layer, range, start, end, out } = one;
    const [input, output] = SPACES[layer];
    const element = make("div", `step ${range.class}`);
    const head = make("h3", "", TITLES[layer]);
    if (isFirst && pinned) head.append(make("em", "", "kept"));
    const way = make("div", "way", make("span", "", NAMES[input] + " "), `${hex(start)} … ${hex(end)}`);
    if (out !== null) way.append(document.createElement("br"), make("span", "", "→ " + NAMES[output] + " "), `${hex(out)} … ${hex(out + (end - start))}`);
    element.append(head, way);
    const bits = [range.af && "AF", range.contiguous && "contiguous"].filter(Boolean).join(", ");
    const memory = [range.mem, range.sh && range.sh + " shareable"].filter(Boolean).join(", ");
    const leaf = `${range.kind}, level ${range.level}`;
    element.append(facts(isFirst
      ? [["size", range.text], ["leaf", leaf], ["allows", range.access], ["memory", memory], ["bits", bits], ["descriptor", range.raw]]
      : [["leaf", `${leaf}, ${range.text}`], ["allows", range.access], ["memory", memory], ["descriptor", range.raw]]));
    const name = data.tables[scene.tables[layer]].name;
    for (const finding of data.findings) {
      const at = finding.ia === null ? NaN : Number(finding.ia);
      if (finding.counts && finding.table === name && at < range.end && range.start < at + Math.max(Number(finding.size), 1)) element.append(make("p", "found", finding.text));
    }
    return element;
  }

  function show(ribbon) {
    if (shown) shown.element.classList.remove("hot");
    for (const row of document.querySelectorAll("tr.hot")) row.classList.remove("hot");
    shown = ribbon;
    scene.svg.classList.toggle("lit", ribbon !== null);
    byId("empty").hidden = ribbon !== null;
    const detail = byId("detail");
    detail.hidden = ribbon === null;
    scene.trace.replaceChildren();
    if (!ribbon) return detail.replaceChildren();
    ribbon.element.classList.add("hot");
    hide(ribbon);
    document.querySelector(`tr[data-r="${ribbon.element.dataset.r}"]`)?.classList.add("hot");
    const groups = related(ribbon);
    const steps = groups.flatMap((parts, index) => {
      const elements = parts.slice(0, LISTED).map((one) => step(one, index === 0));
      if (parts.length > LISTED) elements.push(make("p", "minor", `and ${parts.length - LISTED} more ranges of the ${TITLES[parts[0].layer]}`));
      return elements;
    });
    if (groups.length === 3 && groups[1].length + groups[2].length === 0) steps.push(make("p", "minor", "No other table here says anything of these addresses."));
    detail.replaceChildren(...steps);
    for (const one of groups.slice(1).flat().slice(0, TRACED)) {
      if (one.layer === "shadow" && mode === "stages") continue;
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", one.range.class);
      path.setAttribute("d", outline(one));
      scene.trace.append(path);
    }
  }

  function pin(ribbon) {
    pinned = ribbon;
    show(ribbon);
  }

  /// Shows a range of any table, in a picture that has it.
  function goTo(id, isClose) {
    const table = Number(id.split("-")[0]);
    const has = (one) => Object.values(one.tables).includes(table);
    if (!has(scene)) {
      const other = scenes.findIndex(has);
      if (other < 0) return;
      choose(other);
    }
    const ribbon = scene.ribbons.find((one) => one.element.dataset.r === id);
    if (!ribbon) return;
    if ((ribbon.layer === "shadow") === (mode === (ribbon.layer === "shadow" ? "stages" : "shadow"))) setMode("both");
    if (isClose) zoomTo(ribbon.top, ribbon.bottom); else reveal(ribbon);
    pin(ribbon);
    byId("picture").scrollIntoView({ block: "nearest" });
  }

  function choose(number) {
    pin(null);
    scene.svg.classList.remove("current");
    scene = scenes[number];
    scene.svg.classList.add("current");
    const select = byId("l2");
    if (select) select.value = String(number);
    setMode(mode);
    resize();
  }

  function setMode(name) {
    mode = name;
    for (const each of ["stages", "both", "shadow"]) scene.svg.classList.toggle("mode-" + each, each === mode);
    document.querySelector(`input[value="${mode}"]`).checked = true;
    if (shown) show(shown);
    draw();
  }

  // --- Input ----------------------------------------------------------------------------------

  const stage = byId("stage");
  const ribbonOf = (event) => scene.byElement.get(event.target);
  const pointOf = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(scene.svg.getScreenCTM().inverse());
  const heightAt = (event) => pointOf(event).y;

  /// The ribbon under the mouse, or the one that begins where the mouse is in a column.
  function pointedAt(event) {
    const ribbon = ribbonOf(event);
    if (ribbon || !event.target.matches(".memory")) return ribbon ?? null;
    const { x, y } = pointOf(event);
    const column = LEFT.findIndex((left) => x >= left && x <= left + W);
    const begins = ({ layer, top, bottom }) => SPACES[layer][0] === column && onScreen(top) <= y && y < onScreen(bottom);
    const found = scene.ribbons.filter(begins);
    const first = mode === "shadow" ? "shadow" : "guest";
    return found.find(({ layer }) => layer === first) ?? found[0] ?? null;
  }

  let drag = null;

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) move(-(event.deltaY || event.deltaX));
    else zoomAbout(Math.exp(-event.deltaY * .0016), clamp(heightAt(event), 0, H));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { last: heightAt(event), moved: 0 };
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag || !event.buttons) return;
    const at = heightAt(event);
    drag.moved += Math.abs(at - drag.last);
    if (drag.moved > 4) move(at - drag.last);
    drag.last = at;
  });
  // The click that ends a drag comes first.
  addEventListener("pointerup", () => setTimeout(() => { drag = null; }));
  stage.addEventListener("pointermove", (event) => {
    if (pinned || (drag && drag.moved > 4)) return;
    const ribbon = pointedAt(event);
    if (ribbon !== shown) show(ribbon);
  });
  stage.addEventListener("pointerleave", () => { if (!pinned) show(null); });
  stage.addEventListener("click", (event) => {
    const wasDragged = drag && drag.moved > 4;
    if (wasDragged) return;
    const ribbon = pointedAt(event);
    pin(ribbon === pinned ? null : ribbon);
  });
  stage.addEventListener("dblclick", (event) => {
    const ribbon = pointedAt(event);
    if (ribbon) { zoomTo(ribbon.top, ribbon.bottom); pin(ribbon); } else fit();
  });
  stage.addEventListener("focusin", (event) => {
    const ribbon = ribbonOf(event);
    if (!ribbon || !event.target.matches(":focus-visible")) return;
    reveal(ribbon);
    if (pinned !== ribbon) { pinned = null; show(ribbon); }
  });

  function onKey(event) {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select, input[type=text]")) return false;
    const ribbon = scene.byElement.get(target);
    const isPicture = target === document.body || stage.contains(target);
    const middle = ribbon ? clamp(onScreen((ribbon.top + ribbon.bottom) / 2), 0, H) : H / 2;
    switch (event.key) {
      case "+": case "=": zoomAbout(1.5, middle); return true;
      case "-": case "_": zoomAbout(1 / 1.5, middle); return true;
      case "0": fit(); return true;
      case "Escape": pin(null); return true;
      case "Enter": case " ":
        if (target.dataset?.f) { finding(target.dataset.f); return true; }
        if (!ribbon) return false;
        pin(pinned === ribbon ? null : ribbon);
        return true;
      case "ArrowUp": case "ArrowDown":
        if (!isPicture || scene.zoom <= 1) return false;
        move(event.key === "ArrowUp" ? 60 : -60);
        return true;
      default: return false;
    }
  }
  document.addEventListener("keydown", (event) => { if (onKey(event)) event.preventDefault(); });

  function finding(number) {
    const { table, ia } = data.findings[number];
    const index = data.tables.findIndex((one) => one.name === table);
    if (index < 0 || ia === null) return;
    const at = Number(ia);
    const place = data.tables[index].ranges.findIndex((range) => range.start <= at && at < range.end);
    if (place >= 0) return goTo(`${index}-${place}`, true);
    const mark = scene.marks.find(([which]) => which === Number(number));
    if (mark) zoomTo(mark[2], mark[2]);
  }

  addEventListener("resize", resize);
  byId("in").addEventListener("click", () => zoomAbout(1.5, H / 2));
  byId("out").addEventListener("click", () => zoomAbout(1 / 1.5, H / 2));
  byId("fit").addEventListener("click", fit);
  byId("mode").addEventListener("change", (event) => setMode(event.target.value));
  byId("l2")?.addEventListener("change", (event) => choose(Number(event.target.value)));
  byId("findings")?.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) finding(item.dataset.f);
  });
  byId("tables").addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-r]");
    if (row && !String(getSelection())) goTo(row.dataset.r, false);
  });

  document.documentElement.classList.add("scripted");
  choose(0);
})();
