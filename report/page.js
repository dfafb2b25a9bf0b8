"use strict";
// The page is whole without this script: it adds sorting, filtering, and opening all details at once.
(() => {
  const make = (tag, attrs, text) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs || {})) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const key = (tbody, i) => tbody.rows[0].cells[i].dataset.key || "";
  const compare = (a, b) => {
    if (/^-?\d+$/.test(a) && /^-?\d+$/.test(b) && a.length < 9 && b.length < 9) return a - b;
    if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
    return a.localeCompare(b, undefined, { numeric: a.length < 32 });
  };

  // A finding is a tbody of its own, so that its evidence moves with it.
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((th, i) => {
      const button = make("button", { type: "button" }, th.textContent);
      th.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") ? th.getAttribute("aria-sort") === "ascending" : th.textContent === "Severity" || th.textContent === "Verdict";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const bodies = [...table.tBodies].map((b, n) => [b, n]);
        bodies.sort(([a, m], [b, n]) => (down ? -1 : 1) * compare(key(a, i), key(b, i)) || m - n);
        table.append(...bodies.map(([b]) => b));
      });
    });
  };

  const select = (label, options) => {
    const s = make("select", { "aria-label": label });
    options.forEach(([value, text]) => s.append(make("option", { value }, text)));
    return s;
  };

  const filterable = (tools) => {
    const table = document.getElementById(tools.dataset.for);
    const bodies = [...table.tBodies];
    const text = make("input", { type: "search", placeholder: "Filter: address, name, product, vector", "aria-label": "Filter" });
    const severity = select("Severity", [["0", "every severity"], ["1", "low and above"], ["2", "medium and above"], ["3", "high and above"], ["4", "critical"]]);
    const kind = select("Class", [["", "every class"], ...tools.dataset.classes.split(" ").map((c) => [c, c])]);
    const count = make("span", { class: "count", role: "status" });
    const apply = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const b of bodies) {
        const show = +b.dataset.severity >= +severity.value && (!kind.value || b.dataset.class === kind.value) && words.every((w) => b.dataset.search.includes(w));
        b.hidden = !show;
        n += show;
      }
      count.textContent = n === bodies.length ? "" : n + " of " + bodies.length;
    };
    text.addEventListener("input", apply);
    severity.addEventListener("change", apply);
    kind.addEventListener("change", apply);
    const open = make("button", { type: "button" }, "Open all evidence");
    open.addEventListener("click", () => {
      const all = bodies.filter((b) => !b.hidden).flatMap((b) => [...b.querySelectorAll("details")]);
      const to = !all.every((d) => d.open);
      all.forEach((d) => { d.open = to; });
      open.textContent = to ? "Close all evidence" : "Open all evidence";
    });
    tools.append(text, severity, kind, open, count);
    // A link into a finding that is filtered out shows everything again.
    addEventListener("hashchange", () => {
      const at = location.hash && document.getElementById(location.hash.slice(1));
      if (at && at.hidden) {
        text.value = kind.value = "";
        severity.value = "0";
        apply();
        at.scrollIntoView();
      }
    });
  };

  document.querySelectorAll("#services, #listeners").forEach(sortable);
  document.querySelectorAll(".tools").forEach(filterable);

  // Paper has no summary to click on.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((d) => { d.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));
})();
