// @ts-check
"use strict";
// The report's page: hovering, sorting, choosing, filtering. It shows numbers and makes none. All
// text is set as text, never as markup: names come from files.

/**
 * @typedef {{name: string, label: string, also: string, unit: string, doc: string, few: boolean}} Behaviour
 * @typedef {{name: string, label: string, units: number, class: string, film: string, sentence: string, live: string}} Region
 * @typedef {{columns: string[], help: string[], names: Record<string, string[]>,
 *            shown: Record<string, string[]>, values: Record<string, (number | null)[]>}} Table
 * @typedef {{level: number, fields: string[], kinds: string[], holds: string[], cells: any[][][],
 *            regions: Region[], measures: Behaviour[], table: Table}} Data
 */

(() => {
  const raw = document.getElementById("data");
  /** @type {Data | null} */
  const data = raw === null ? null : JSON.parse(raw.textContent || "null");

  /**
   * @param {string} name @param {Record<string, string>} [attributes] @param {(Node | string)[]} inside
   * @returns {HTMLElement}
   */
  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  }

  /** A number to read; of a small one two digits. @param {number | null} value */
  function number(value) {
    if (value === null) return "–";
    const size = Math.abs(value);
    const text = size >= 100 ? value.toFixed(0) : size >= 0.1 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
    return text.replaceAll("-", "−");
  }

  /** A p value. @param {number | null} value */
  const small = (value) => (value === null ? "–" : String(Number(value.toPrecision(2))));

  /** @param {number | null} value @param {string} unit */
  const withUnit = (value, unit) => `${number(value)} ${unit}`.trim();

  // What is under the pointer, the focus or the finger.
  const tip = /** @type {HTMLElement} */ (document.getElementById("tip"));
  /** @type {Element | null} */
  let told = null;

  /** The behaviour and region that an element shows. @param {Element} element */
  function shownBy(element) {
    const measure = element.closest("[data-m]"), region = element.closest("[data-r]");
    const m = measure === null ? NaN : Number(measure.getAttribute("data-m"));
    return { m, r: region === null ? NaN : Number(region.getAttribute("data-r")) };
  }

  /** The lines of a tip. @param {Element} element @returns {HTMLElement[]} */
  function linesOf(element) {
    if (data === null) return [];
    const { m, r } = shownBy(element), unit = element.closest("[data-u]");
    const measure = data.measures[m], region = data.regions[r], lines = [];
    if (unit !== null) {
      const svg = /** @type {Element} */ (unit.closest("svg"));
      lines.push(make("b", {}, `${svg.getAttribute("data-site")}, unit ${unit.getAttribute("data-u")}`));
    }
    if (region === undefined || measure === undefined) {
      if (unit !== null) lines.push(make("span", {}, "was cut with no part of this map"));
      return lines;
    }
    const cell = data.cells[r][m], units = `${region.units} unit${region.units === 1 ? "" : "s"}`;
    lines.push(make(unit === null ? "b" : "span", {}, `${region.label} (${units}) · ${measure.label} ${measure.also}`));
    if (cell === null) return [...lines, make("span", {}, "not measured")];
    const of = Object.fromEntries(data.fields.map((field, k) => [field, cell[k]]));
    lines.push(make("span", {}, `intact ${number(of.intact)} → ${withUnit(of.lesioned, measure.unit)}`));
    const ends = of.ci_low === null ? "alike in all episodes" : `95 %: ${number(of.ci_low)} to ${number(of.ci_high)}`;
    lines.push(make("span", {}, `change ${withUnit(of.delta, measure.unit)} (${ends})`));
    const kind = of.kind === null ? "" : `, told by ${data.kinds[of.kind]}`;
    lines.push(make("span", {}, `q = ${small(of.q)}, ${of.n} episodes${kind}`));
    if (of.p_random !== null) lines.push(make("span", {}, `random cuts of its size: p = ${small(of.p_random)}`));
    for (const [at, delta, q] of of.agree) {
      const clear = q !== null && q < data.level ? "clear" : "not clear";
      lines.push(make("span", { class: "soft" }, `${data.kinds[at]}: ${withUnit(delta, measure.unit)}, ${clear}`));
    }
    const holds = data.holds[of.holds];
    if (holds) lines.push(make("span", { class: "soft" }, `holds under ${holds === "only beyond" ? "kinds beyond the range only" : holds}`));
    return lines;
  }

  /** @param {Element} element */
  function tell(element) {
    const lines = linesOf(element);
    if (lines.length === 0) return;
    told = element;
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const box = element.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const wide = document.documentElement.clientWidth, high = document.documentElement.clientHeight;
    const left = Math.min(Math.max(box.left + box.width / 2 - own.width / 2, 6), wide - own.width - 6);
    const below = box.bottom + 8 + own.height < high || box.top < own.height + 8;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(below ? box.bottom + 8 : box.top - own.height - 8) + window.scrollY}px`;
    element.setAttribute("aria-describedby", "tip");
  }

  function quiet() {
    told?.removeAttribute("aria-describedby");
    told = null;
    tip.hidden = true;
  }

  const SHOWS = "td[data-m], [data-u]";
  /** @param {Event} event */
  const shower = (event) => (event.target instanceof Element ? event.target.closest(SHOWS) : null);
  for (const kind of ["pointerover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const element = shower(event);
      if (element !== null) tell(element);
      else if (told !== null) quiet();
    });
  }
  document.addEventListener("focusout", quiet);
  document.addEventListener("scroll", (event) => {
    if (event.target !== document) quiet(); // a table was moved under it; with the page it goes along
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") quiet();
  });
  let touched = false;
  document.addEventListener("pointerdown", (event) => {
    touched = event.pointerType === "touch";
  });
  /** @type {Element | null} */
  let tapped = null;
  document.addEventListener("click", (event) => {
    const element = shower(event);
    if (element === null) return;
    // A first tap on a unit tells of it, a second one follows its link.
    if (touched && element.matches("a") && tapped !== element) event.preventDefault();
    tapped = element;
    tell(element);
  });

  /**
   * One stop of the tab key for many elements; the arrow keys go between them.
   * @param {() => Element[][]} grid its elements, row by row
   */
  function roving(grid) {
    const first = grid()[0]?.[0];
    for (const row of grid()) for (const element of row) element.setAttribute("tabindex", "-1");
    first?.setAttribute("tabindex", "0");
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    return (/** @type {KeyboardEvent} */ event) => {
      const step = steps[event.key];
      if (step === undefined || !(event.target instanceof Element)) return;
      const rows = grid(), at = event.target.closest(SHOWS);
      const y = rows.findIndex((row) => at !== null && row.includes(at));
      if (at === null || y < 0) return;
      const row = rows[y + step[0]], next = row?.[rows[y].indexOf(at) + step[1]];
      if (next === undefined) return;
      event.preventDefault();
      at.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      /** @type {HTMLElement} */ (next).focus();
    };
  }

  /** @template T @param {ArrayLike<T>} list @param {number} length */
  const inRows = (list, length) =>
    Array.from({ length: Math.ceil(list.length / length) }, (_, y) => Array.from(list).slice(y * length, (y + 1) * length));

  for (const svg of document.querySelectorAll("#network svg")) {
    const units = svg.querySelectorAll("[data-u]"), wide = Math.ceil(Math.sqrt(units.length));
    svg.addEventListener("keydown", /** @type {EventListener} */ (roving(() => inRows(units, wide))));
  }
  for (const table of document.querySelectorAll(".ties tbody")) {
    const rows = [...table.querySelectorAll("tr")].map((row) => [...row.querySelectorAll("td[data-m]")]);
    table.addEventListener("keydown", /** @type {EventListener} */ (roving(() => rows)));
  }
  const bars = document.querySelector(".bars");
  if (bars !== null) {
    const rows = [...bars.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")]);
    bars.addEventListener("keydown", /** @type {EventListener} */ (roving(() => rows)));
  }

  // The heatmap.
  const board = /** @type {HTMLTableElement | null} */ (document.getElementById("board"));
  if (board !== null && data !== null) drawBoard(board, data);

  /** @param {HTMLTableElement} board @param {Data} data */
  function drawBoard(board, data) {
    const body = board.tBodies[0], head = board.tHead?.rows[0];
    const given = [...body.rows];
    /** @type {Set<number>} */
    const chosen = new Set();
    const heads = [...(head?.cells ?? [])].slice(1);
    const boxes = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll(".choice input")]);
    /** @param {Element} cell */
    const measureOf = (cell) => Number(cell.getAttribute("data-m"));
    const HARM = data.fields.indexOf("harm"), Q = data.fields.indexOf("q");

    /** How far a cell's colour goes, below 0 worse. @param {number} r @param {number} m */
    function harm(r, m) {
      const cell = data.cells[r][m];
      return cell === null || cell[Q] === null || cell[Q] >= data.level ? 0 : cell[HARM] ?? 0;
    }

    function apply() {
      board.classList.remove("few");
      for (const cell of board.querySelectorAll("[data-m]")) /** @type {HTMLElement} */ (cell).hidden = !chosen.has(measureOf(cell));
      for (const box of boxes) box.checked = chosen.has(measureOf(box));
      close();
    }

    /** @param {(m: number) => boolean} which */
    function choose(which) {
      data.measures.forEach((_, m) => (which(m) ? chosen.add(m) : chosen.delete(m)));
      apply();
    }

    for (const button of document.querySelectorAll("[data-columns]")) {
      const all = button.getAttribute("data-columns") === "all";
      button.addEventListener("click", () => choose((m) => all || data.measures[m].few));
    }
    for (const box of boxes) {
      box.addEventListener("change", () => choose((m) => (m === measureOf(box) ? box.checked : chosen.has(m))));
    }
    const order = /** @type {HTMLSelectElement} */ (document.getElementById("order"));
    order.addEventListener("change", () => {
      const size = data.measures.map((_, m) => given.reduce((sum, row) => sum + Math.abs(harm(Number(row.dataset.r), m)), 0));
      const wanted = data.measures.map((_, m) => m);
      if (order.value === "size") wanted.sort((a, b) => size[b] - size[a] || a - b);
      close();
      for (const row of [head, ...given]) {
        const cells = new Map([...(row?.querySelectorAll("[data-m]") ?? [])].map((cell) => [measureOf(cell), cell]));
        for (const m of wanted) row?.append(/** @type {Element} */ (cells.get(m)));
      }
    });

    // Sorting by a column: the worst first, then the best, then as it was.
    for (const cell of heads) {
      const button = make("button", { type: "button" }, ...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const before = cell.getAttribute("aria-sort"), m = measureOf(cell);
        for (const other of heads) other.removeAttribute("aria-sort");
        const now = before === null ? "ascending" : before === "ascending" ? "descending" : null;
        const rows = [...given], sign = now === "descending" ? -1 : 1;
        /** @param {HTMLTableRowElement} row */
        const value = (row) => harm(Number(row.dataset.r), m);
        if (now !== null) {
          cell.setAttribute("aria-sort", now);
          rows.sort((a, b) => sign * (value(a) - value(b)));
        }
        close();
        body.append(...rows);
      });
    }

    // A chosen row opens below itself.
    /** @type {HTMLElement | null} */
    let open = null;
    function close() {
      open?.remove();
      open = null;
      for (const button of body.querySelectorAll("[aria-expanded]")) button.setAttribute("aria-expanded", "false");
    }

    /** @param {HTMLTableRowElement} row */
    function toggle(row) {
      const same = open !== null && open.previousElementSibling === row;
      close();
      if (same) return;
      const region = data.regions[Number(row.dataset.r)];
      const inside = make("div", { class: "inside" }), say = make("div");
      inside.style.width = `${Math.min(board.clientWidth, /** @type {HTMLElement} */ (board.parentElement).clientWidth)}px`;
      say.append(make("p", {}, region.sentence || "No claim worth telling: nothing of some size holds under every kind of cut within the range."));
      if (region.class) say.append(make("p", { class: "soft" }, `What kind of loss: ${region.class}.`));
      if (region.live) say.append(make("p", {}, make("a", { class: "button", href: region.live }, "Play it live")));
      inside.append(say);
      const film = /** @type {HTMLVideoElement | null} */ (region.film ? document.getElementById(region.film) : null);
      if (film !== null) {
        const again = /** @type {HTMLVideoElement} */ (make("video", { controls: "", loop: "", playsinline: "", "aria-label": film.getAttribute("aria-label") ?? "" }));
        again.muted = true;
        again.poster = film.poster;
        again.src = film.src; // the one in the page: it is not there twice
        inside.append(again);
        if (!still()) again.play().catch(() => {});
      } else say.append(make("p", { class: "soft" }, "There is no film of it in this report."));
      open = make("tr", { class: "detail" }, make("td", { colspan: String(1 + data.measures.length) }, inside));
      row.after(open);
      row.querySelector("[aria-expanded]")?.setAttribute("aria-expanded", "true");
    }

    for (const row of given) {
      const name = row.cells[0], link = name.querySelector("a");
      const button = make("button", { type: "button", "aria-expanded": "false" }, (link ?? name.firstChild)?.textContent?.trim() ?? "");
      (link ?? name.firstChild)?.replaceWith(button);
      row.addEventListener("click", (event) => {
        if (event.target instanceof Element && !touched) quiet();
        toggle(row);
      });
    }
    const visible = () =>
      [...body.rows].filter((row) => row !== open).map((row) => [...row.cells].filter((cell) => cell.matches("td") && !cell.hidden));
    choose((m) => data.measures[m].few);
    const move = roving(visible);
    board.addEventListener("keydown", (event) => {
      move(event);
      const cell = shower(event);
      if (event.key === "Enter" && cell !== null) toggle(/** @type {HTMLTableRowElement} */ (cell.closest("tr")));
    });
  }

  // All effects.
  const effects = /** @type {HTMLTableElement | null} */ (document.getElementById("effects"));
  if (effects !== null && data !== null) drawTable(effects, data);

  /** @param {HTMLTableElement} table @param {Data} data */
  function drawTable(table, data) {
    const { columns, help, names, shown, values } = data.table, STEP = 100;
    const total = values[columns[0]].length, P = new Set(["p", "q", "p_fwe", "p_random"]);
    const filter = /** @type {HTMLInputElement} */ (document.getElementById("filter"));
    const clear = /** @type {HTMLInputElement} */ (document.getElementById("clear"));
    const further = /** @type {HTMLButtonElement} */ (document.getElementById("further"));
    let rows = Array.from({ length: total }, (_, k) => k), limit = STEP;
    let sorted = "", up = true;

    /** @param {string} column @param {number} row */
    function text(column, row) {
      const value = values[column][row];
      if (column in names) return shown[column]?.[Number(value)] ?? names[column][Number(value)];
      if (column === "units" || column === "n") return String(value);
      return P.has(column) ? small(value) : number(value);
    }
    const words = Array.from({ length: total }, (_, row) =>
      Object.keys(names).map((column) => `${text(column, row)} ${names[column][Number(values[column][row])]}`).join(" ").toLowerCase());

    /** @param {string} column @param {number} row */
    const key = (column, row) => (column in names ? text(column, row).toLowerCase() : values[column][row]);

    function arrange() {
      const wanted = filter.value.toLowerCase().split(/\s+/);
      rows = Array.from({ length: total }, (_, k) => k).filter((row) => {
        const q = values.q[row];
        return wanted.every((word) => words[row].includes(word)) && (!clear.checked || (q !== null && q < data.level));
      });
      if (sorted) {
        rows.sort((one, other) => {
          const a = key(sorted, one), b = key(sorted, other);
          if (a === null || b === null) return Number(a === null) - Number(b === null); // no number last
          return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
        });
      }
      limit = STEP;
      draw();
    }

    function draw() {
      const body = table.tBodies[0];
      body.replaceChildren(...rows.slice(0, limit).map((row) => {
        const q = values.q[row], line = make("tr", q !== null && q < data.level ? {} : { class: "unclear" });
        for (const column of columns) {
          const named = column in names;
          line.append(make("td", named ? { class: "text", title: names[column][Number(values[column][row])] } : {}, text(column, row)));
        }
        return line;
      }));
      further.hidden = rows.length <= limit;
      /** @type {HTMLElement} */ (document.getElementById("count")).textContent = `${rows.length} of ${total} rows`;
    }

    const line = make("tr"), legend = /** @type {HTMLElement} */ (document.getElementById("legend"));
    columns.forEach((column, k) => {
      const button = make("button", { type: "button" }, column);
      const cell = make("th", { scope: "col", title: help[k], ...(column in names ? { class: "text" } : {}) }, button);
      button.addEventListener("click", () => {
        up = sorted === column ? !up : true;
        sorted = column;
        for (const other of line.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        arrange();
      });
      line.append(cell);
      legend.append(make("dt", {}, column), make("dd", {}, help[k]));
    });
    table.tHead?.append(line);
    filter.addEventListener("input", arrange);
    clear.addEventListener("change", arrange);
    further.addEventListener("click", () => {
      limit = limit + 10 * STEP;
      draw();
    });
    document.getElementById("csv")?.addEventListener("click", () => {
      /** @param {string} column @param {number} row */
      const field = (column, row) => {
        const value = values[column][row];
        if (!(column in names)) return value === null ? "" : String(value);
        const name = names[column][Number(value)];
        // A spreadsheet takes text that begins so for a formula.
        return `"${(/^[=+\-@\t\r]/.test(name) ? "'" : "") + name.replaceAll('"', '""')}"`;
      };
      const lines = [columns.join(","), ...rows.map((row) => columns.map((column) => field(column, row)).join(","))];
      const address = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      make("a", { href: address, download: "effects.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
    arrange();
  }

  // Films play while they are seen, unless somebody asked for no motion.
  function still() {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
  }
  if (!still() && "IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const film = /** @type {HTMLVideoElement} */ (target);
        if (isIntersecting) film.play().catch(() => {});
        else film.pause();
      }
    }, { threshold: 0.25 });
    for (const film of document.querySelectorAll("video")) seen.observe(film);
  }

  // Print what is folded, too.
  /** @type {HTMLDetailsElement[]} */
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = /** @type {HTMLDetailsElement[]} */ ([...document.querySelectorAll("details:not([open])")]);
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
})();
