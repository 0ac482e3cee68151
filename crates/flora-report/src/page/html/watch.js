"use strict";
// Asks whether the files of the run have changed, and puts the new page in the place of the old one: only what differs
// is touched, so that scrolling, open tables and the focus stay.
(() => {
  const PAUSE = 1500;
  const status = document.getElementById("watch");
  const say = (text) => { if (status.textContent !== text) status.textContent = text; };
  let version = document.body.dataset.version;
  let failures = 0;
  // The token, without which nothing is answered.
  const query = location.search;

  const keyOf = (element) => {
    if (!element) return null;
    if (element.id) return "#" + CSS.escape(element.id);
    const parent = element.closest("[id]");
    if (!parent || parent === element) return null;
    const same = [...parent.querySelectorAll(element.tagName)];
    return { parent: "#" + CSS.escape(parent.id), tag: element.tagName, at: same.indexOf(element) };
  };
  const find = (key) => {
    if (!key) return null;
    if (typeof key === "string") return document.querySelector(key);
    const parent = document.querySelector(key.parent);
    return parent ? parent.querySelectorAll(key.tag)[key.at] : null;
  };

  const replace = (next) => {
    const focus = keyOf(document.activeElement);
    // What the reader looks at: the last thing with a name that begins above the middle of the window.
    const named = [...document.querySelectorAll("main [id]")].filter((it) => !it.closest("svg") && it.checkVisibility());
    const anchor = named.findLast((it) => it.getBoundingClientRect().top <= window.innerHeight / 2);
    const top = anchor ? anchor.getBoundingClientRect().top : 0;
    const open = [...document.querySelectorAll("details[open][id]")].map((it) => it.id);
    const scrolled = [...document.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    for (const part of ["main", "nav", "h1"]) {
      const old = document.querySelector(part);
      const fresh = next.querySelector(part);
      if (old && fresh && old.innerHTML !== fresh.innerHTML) old.innerHTML = fresh.innerHTML;
    }
    document.title = next.title;
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    document.querySelectorAll(".scroll").forEach((it, at) => { it.scrollLeft = scrolled[at] || 0; });
    const now = anchor && document.getElementById(anchor.id);
    if (now && window.scrollY > 0) {
      window.scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    }
    const focused = find(focus);
    if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
  };

  const look = async () => {
    try {
      const answer = await fetch("/version" + query, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const now = await answer.text();
      if (now !== version) {
        const page = await fetch("/" + query, { cache: "no-store" });
        if (!page.ok) throw new Error(page.statusText);
        const next = new DOMParser().parseFromString(await page.text(), "text/html");
        replace(next);
        version = next.body.dataset.version;
        const said = document.getElementById("headline");
        say(said ? "Updated: " + said.textContent : "Updated.");
      } else if (failures > 0) {
        say("This page follows the run.");
      }
      failures = 0;
    } catch {
      failures += 1;
      if (failures === 2) say("flora watch does not answer: this page no longer follows the run.");
    }
    setTimeout(look, PAUSE * Math.min(1 + failures, 10));
  };
  look();
})();
