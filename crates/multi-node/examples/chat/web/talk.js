// The conversation: messages, the lines between them, and what has been written but not yet taken by a node.

// What is older is dropped from the page.
const SHOWN = 300;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const fullClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

class Talk {
  #list = document.getElementById("messages");
  #scroll = document.getElementById("scroll");
  #empty = document.getElementById("empty");
  #newest = document.getElementById("newest");
  #template = document.getElementById("message-template").content.firstElementChild;
  #seen = new Set();
  #mine = new Set(JSON.parse(stored("sessionStorage", "mine") ?? "[]"));
  #unsent = new Map();
  /** Whether the visitor reads the newest messages, and how high the list was when that was last seen. */
  #following = true;
  #height = 0;

  constructor() {
    this.#newest.addEventListener("click", () => this.#toEnd());
    this.#scroll.addEventListener("scroll", () => this.#scrolled());
    new ResizeObserver(() => this.#resized()).observe(this.#scroll);
  }

  /** What was said and has not come back from a node, oldest first. */
  get unsent() {
    return [...this.#unsent.values()];
  }

  /** Notes a message of this visitor. It counts as unsent until a node has sent it to everyone, this page included. */
  write(from, text) {
    const said = { type: "say", id: newId(), from, text };
    this.#mine.add(said.id);
    store("sessionStorage", "mine", JSON.stringify([...this.#mine].slice(-100)));
    this.#unsent.set(said.id, said);
    const element = this.#render({ ...said, node: null, at: Date.now() });
    element.classList.add("unsent");
    this.#append(element, true);
    return said;
  }

  /** Shows a message, once, however often it comes; returns whether it was new here. */
  hear(message) {
    if (this.#seen.has(message.id)) return false;
    this.#seen.add(message.id);
    const element = this.#render(message);
    this.#unsent.delete(message.id);
    this.#find(message.id)?.remove();
    this.#append(element, this.#mine.has(message.id));
    return true;
  }

  /** A line that is no visitor's message. */
  note(text, kind = "") {
    const element = document.createElement("li");
    element.className = `note ${kind}`;
    element.append(span("", text));
    this.#append(element, false);
  }

  #render({ id, from, node, slot, text, at }) {
    const element = this.#template.cloneNode(true);
    const part = (name) => element.querySelector(name);
    const mine = this.#mine.has(id);
    element.dataset.id = id;
    element.dataset.node = node ?? "";
    element.dataset.from = from;
    element.dataset.at = at;
    element.classList.add(hue(slot));
    element.classList.toggle("mine", mine);
    write(part(".face"), initials(from));
    write(part(".from"), mine ? "You" : from);
    write(part(".node"), node ?? "waiting to be sent");
    write(part(".words"), text);
    write(part("time"), clock.format(at));
    part("time").dateTime = new Date(at).toISOString();
    part("time").title = fullClock.format(at);
    return element;
  }

  #append(element, follow) {
    const stay = follow || this.#following;
    this.#empty.hidden ||= element.classList.contains("message");
    const before = element.classList.contains("unsent") ? null : this.#list.querySelector(".unsent");
    this.#list.insertBefore(element, before);
    while (this.#list.children.length > SHOWN) this.#list.firstElementChild.remove();
    this.#join(element);
    if (element.nextElementSibling) this.#join(element.nextElementSibling);
    if (stay) this.#toEnd();
    else this.#newest.hidden = false;
  }

  /** A message that directly follows one of the same person on the same node needs no second heading. */
  #join(element) {
    const last = element.previousElementSibling;
    const same = (key) => last?.dataset[key] === element.dataset[key];
    const soon = element.dataset.at - last?.dataset.at < 120_000;
    element.classList.toggle("joined", Boolean(last?.matches(".message") && same("from") && same("node") && soon)
      && last.classList.contains("mine") === element.classList.contains("mine"));
  }

  #find(id) {
    return [...this.#list.querySelectorAll(".unsent")].find((element) => element.dataset.id === id);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    // A list that has become shorter was not scrolled by the user.
    if (clientHeight !== this.#height) return;
    this.#following = scrollHeight - scrollTop - clientHeight < 48;
    if (this.#following) this.#newest.hidden = true;
  }

  /** A keyboard that comes up, or nodes that appear above, make the list shorter; its end stays in view. */
  #resized() {
    this.#height = this.#scroll.clientHeight;
    if (this.#following) this.#toEnd();
  }

  #toEnd() {
    this.#following = true;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#newest.hidden = true;
  }
}

/** Storage is refused in some private windows; what is kept then lasts as long as the page. */
function store(where, key, value) {
  try { window[where].setItem(key, value); } catch { /* not kept */ }
}

function stored(where, key) {
  try { return window[where].getItem(key); } catch { return null; }
}

/** Random enough that no two visitors choose the same; `randomUUID` is there on HTTPS and localhost only. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function initials(name) {
  const words = name.trim().split(/\s+/);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "").join("").toUpperCase();
}
