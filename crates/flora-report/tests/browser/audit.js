(() => {
  const problems = [];
  const is = (ok, text) => { if (!ok) problems.push(text); };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const seen = (element) => element.checkVisibility();
  const name = (element) => element.outerHTML.slice(0, 120);

  // Nothing is loaded.
  for (const entry of performance.getEntriesByType("resource")) {
    const own = ["/version", "/"].map((path) => location.origin + path + location.search);
    is(own.includes(entry.name), "loads " + entry.name);
  }
  // Nothing sticks out of the page at the right.
  is(document.documentElement.scrollWidth <= window.innerWidth,
    `the page is ${document.documentElement.scrollWidth} wide, the window ${window.innerWidth}`);
  // Structure.
  is(document.documentElement.lang === "en", "no language");
  is(all("h1").length === 1 && all("main").length === 1, "not one h1 and one main");
  is(all("nav[aria-label]").length === 1, "no labelled nav");
  let level = 1;
  for (const heading of all("h1, h2, h3, h4")) {
    const now = Number(heading.tagName[1]);
    is(now <= level + 1, "a heading leaves out a level: " + heading.textContent);
    is(heading.textContent.trim() !== "", "an empty heading");
    level = now;
  }
  const ids = all("[id]").map((it) => it.id);
  is(new Set(ids).size === ids.length, "ids twice: " + ids.filter((id, at) => ids.indexOf(id) !== at));
  for (const link of all("a[href^='#']")) {
    is(document.getElementById(link.getAttribute("href").slice(1)), "leads nowhere: " + name(link));
  }
  for (const labelled of all("[aria-labelledby]")) {
    for (const id of labelled.getAttribute("aria-labelledby").split(" ")) {
      is(document.getElementById(id), "labelled by nothing: " + name(labelled));
    }
  }
  // Text alternatives.
  for (const figure of all("figure.chart")) {
    is(all("figcaption h3", figure).length === 1, "a chart without a title: " + name(figure));
    is(all("details table caption", figure).length === 1, "a chart without its table: " + figure.id);
    const shown = all("svg", figure).filter(seen);
    const isMissing = all(":scope > .callout", figure).length === 1;
    is(shown.length === (isMissing ? 0 : 1), `${shown.length} pictures in chart ${figure.id}`);
    for (const svg of shown) {
      is(svg.getAttribute("role") === "img", "a chart without a role: " + figure.id);
      const labels = (svg.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id));
      is(labels.some((it) => it && it.textContent.trim()), "a chart without a name: " + figure.id);
      is(all(".mark", svg).length > 0, "a chart without marks: " + figure.id);
    }
  }
  for (const image of all("img")) is(image.alt.trim() !== "", "an image without a text: " + name(image));
  for (const image of all("img")) is(image.complete && image.naturalWidth > 0, "a broken image: " + name(image));
  for (const table of all("table")) {
    is(table.caption && table.caption.textContent.trim(), "a table without a caption");
    is(all("thead th[scope=col]", table).length > 0, "a table without headings");
    for (const row of all("tbody tr", table)) {
      is(all("th[scope=row]", row).length === 1, "a row without a name");
      is(row.cells.length === table.tHead.rows[0].cells.length, "a row of another length: " + table.caption.textContent);
    }
  }
  for (const region of all(".scroll, .wide .plot")) {
    is(region.tabIndex === 0 && region.getAttribute("role") === "region" && region.getAttribute("aria-label"),
      "a region that no keyboard reaches: " + name(region));
  }

  // Contrast of text, as WCAG has it.
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((it) => it / 255).map((it) => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(it).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((it) => it.nodeType === Node.TEXT_NODE && it.textContent.trim());
    if (!own || element.closest("svg") || !seen(element) || element.classList.contains("hidden")) continue;
    const ratio = contrast(parse(getComputedStyle(element).color).rgb, ground(element));
    if (ratio < 4.5) faint.add(`contrast ${ratio.toFixed(2)}: <${element.tagName.toLowerCase()} class="${element.className}">`);
  }
  // In charts: text on the card, or on a cell. Of a cell's number, which the table has too, 3 are enough: no text has 4.5
  // on all colours of a scale.
  for (const figure of all("figure.chart")) {
    const cells = all("rect.mark", figure).map((it) => ({ box: it.getBoundingClientRect(), fill: getComputedStyle(it).fill }));
    for (const text of all("svg text", figure).filter(seen)) {
      const box = text.getBoundingClientRect();
      const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
      const cell = cells.find((it) => it.box.left < x && x < it.box.right && it.box.top < y && y < it.box.bottom);
      const behind = cell ? parse(cell.fill).rgb : ground(figure);
      const ratio = contrast(parse(getComputedStyle(text).fill).rgb, behind);
      if (ratio < (cell ? 3 : 4.5)) faint.add(`contrast ${ratio.toFixed(2)} in ${figure.id}: ${text.textContent}`);
    }
  }
  problems.push(...faint);

  // No two labels of a chart lie over each other.
  for (const svg of all("svg").filter(seen)) {
    const boxes = all("text", svg).filter(seen).map((it) => ({
      text: it.textContent, turned: /rotate/.test(it.getAttribute("transform") ?? ""), box: it.getBoundingClientRect(),
    })).filter((it) => !it.turned && it.text.trim());
    for (const [at, a] of boxes.entries()) {
      for (const b of boxes.slice(at + 1)) {
        const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        // The boxes of letters are higher than the letters.
        if (width > 1 && height > 0.35 * Math.min(a.box.height, b.box.height)) {
          problems.push(`in ${svg.closest("figure").id} "${a.text}" lies over "${b.text}"`);
        }
      }
    }
  }
  return JSON.stringify(problems.slice(0, 20));
})()
