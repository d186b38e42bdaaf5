// The strip: a card for every slot, whichever process fills it.

const WORDS = { starting: "starting", initializing: "initializing", serving: "serving", draining: "draining",
  killing: "being killed", exited: "ended", backing_off: "waiting before the next start", failed: "failed", empty: "empty" };

class Strip {
  #cards = new Map();
  #template = document.getElementById("card-template").content.firstElementChild;
  #here = null;
  #skew = 0;

  /** `onReplaced({ slot, id, before, exit })` is called for every process that took another's place. */
  constructor(list, onReplaced) {
    this.list = list;
    this.onReplaced = onReplaced;
    setInterval(() => this.#cards.forEach((card) => this.#age(card)), 1000);
  }

  /** Shows a status; a slot that is being reloaded has two entries in it, the newer one first. */
  show(status) {
    this.#skew = Date.now() - (status.now ?? Date.now());
    const bySlot = groupBySlot(status.slots);
    for (const [slot, entries] of bySlot) this.#update(this.#card(slot), entries);
    for (const [slot, card] of this.#cards) if (!bySlot.has(slot)) this.#remove(slot, card);
    this.list.dataset.density = bySlot.size <= 4 ? "roomy" : bySlot.size <= 12 ? "compact" : "dense";
  }

  /** Marks the node that this page is connected to; null while there is none. */
  mark(node) {
    this.#here = node;
    for (const card of this.#cards.values()) this.#mark(card);
  }

  /** A message came from this slot: let its dot ring once. */
  ring(slot) {
    restart(this.#cards.get(slot)?.part("dot"), "ringing");
  }

  #card(slot) {
    if (!this.#cards.has(slot)) this.#cards.set(slot, this.#add(slot));
    return this.#cards.get(slot);
  }

  #add(slot) {
    const element = this.#template.cloneNode(true);
    element.dataset.slot = slot;
    element.classList.add(hue(slot));
    const later = [...this.list.children].find((other) => Number(other.dataset.slot) > slot);
    this.list.insertBefore(element, later ?? null);
    const card = { element, part: (name) => element.querySelector(`.${name}`), entry: null, older: [], restartsAtBirth: 0 };
    write(card.part("slot"), `slot ${slot}`);
    return card;
  }

  #remove(slot, card) {
    card.element.remove();
    this.#cards.delete(slot);
  }

  #update(card, [entry, ...older]) {
    const before = card.entry;
    card.entry = entry;
    card.older = older;
    card.element.dataset.state = entry.state.replace(" ", "_");
    for (const figure of ["connections", "requests", "restarts"]) write(card.part(figure), entry[figure].toLocaleString());
    if (before && entry.restarts > before.restarts) restart(card.part("restarts"), "bumped");
    write(card.part("pid"), entry.pid ? `pid ${entry.pid}` : "no process");
    write(card.part("exit"), entry.last_exit ?? "");
    write(card.part("older"), older.map((o) => `${o.id} ${o.state}, ${plural(o.connections, "connection")}`).join(" · "));
    // Many nodes leave no room for more than their names.
    card.element.title = `${entry.id}, slot ${entry.slot}, pid ${entry.pid}: ${entry.state}; `
      + `${plural(entry.connections, "connection")}, ${plural(entry.requests, "request")}, ${plural(entry.restarts, "restart")}`;
    this.#name(card, before);
    this.#mark(card);
    this.#age(card);
  }

  /** Shows who fills the slot; a change is played slowly enough to be seen, though it took a few milliseconds. */
  #name(card, before) {
    const { id, slot, last_exit: exit } = card.entry;
    if (before?.id === id) return;
    const place = card.part("id");
    const name = span("now", id ?? "–");
    const died = card.entry.restarts > card.restartsAtBirth;
    card.restartsAtBirth = card.entry.restarts;
    if (!before?.id || !id) return place.replaceChildren(name);
    place.replaceChildren(span("gone", before.id), name);
    restart(card.element, "reborn");
    this.onReplaced({ slot, id, before: before.id, exit: died ? exit : null });
  }

  #mark(card) {
    const here = [card.entry, ...card.older].some((entry) => entry.id === this.#here && this.#here);
    card.element.classList.toggle("here", here);
    if (here) card.element.setAttribute("aria-current", "true");
    else card.element.removeAttribute("aria-current");
  }

  #age({ entry, part }) {
    const seconds = Math.max(0, Math.floor((Date.now() - this.#skew - entry.since) / 1000));
    write(part("state"), `${WORDS[entry.state.replace(" ", "_")] ?? entry.state} · ${duration(seconds)}`);
  }
}

function groupBySlot(entries) {
  const groups = new Map();
  for (const entry of entries) groups.set(entry.slot, [...(groups.get(entry.slot) ?? []), entry]);
  return groups;
}

/** The class that gives an element its slot's colour. */
function hue(slot) {
  return Number.isInteger(slot) ? `hue-${slot % 8}` : "hue-none";
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function plural(count, thing) {
  return `${count.toLocaleString()} ${thing}${count === 1 ? "" : "s"}`;
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

/** Changes a text only where it differs, so that nothing is painted or read out again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Plays the animation of a class, from its beginning also when it is being played. */
function restart(element, className) {
  if (!element) return;
  element.classList.remove(className);
  void element.offsetWidth;
  element.classList.add(className);
}
