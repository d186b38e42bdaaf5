// The connection: a WebSocket to whichever node answers, and a new one whenever that ends.

const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1000;
// The server sends its status at least once a second, so a node that is silent for this long is stopped or hung.
const LONGEST_SILENCE = 5000;

class Link {
  /** The connection whose node has said hello. */
  #current = null;
  /** The connection that is being opened. */
  #trying = null;
  /** The node that #current is joined to, or was until it was lost. */
  #node = null;
  #timer = 0;
  #attempt = 0;
  #lostAt = 0;

  /**
   * `on.hello(hello, change)`: a node answers; `change` is null the first time, else `{ from, moved, after }`.
   * `on.event(event)`: everything else that a node says. `on.lost(node)`: the node's end.
   * `on.waiting({ attempt, pause })`: the next attempt is `pause` ms away.
   */
  constructor(url, on) {
    this.url = url;
    this.on = on;
    setInterval(() => this.#listenForSilence(), 1000);
  }

  /** Sends a value, if a node is there to take it; returns whether it was sent. */
  send(value) {
    if (this.#current?.readyState !== WebSocket.OPEN) return false;
    this.#current.send(JSON.stringify(value));
    return true;
  }

  open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.url);
    this.#trying = socket;
    socket.heard = performance.now();
    socket.onmessage = ({ data }) => this.#received(socket, JSON.parse(data));
    socket.onclose = () => this.#closed(socket);
  }

  #received(socket, event) {
    socket.heard = performance.now();
    if (event.type === "hello") this.#settle(socket, event);
    else if (event.type === "draining") this.#moveOn();
    else this.on.event(event);
  }

  #settle(socket, hello) {
    const from = this.#node;
    const left = this.#current;
    this.#current = socket;
    this.#trying = null;
    this.#node = hello.node;
    this.#attempt = 0;
    if (left) this.#drop(left);
    const after = Math.max(1, Math.round(performance.now() - this.#lostAt));
    this.on.hello(hello, from && { from, moved: left !== null, after });
  }

  /** The node drains: find another one first, and leave this one when it has answered. */
  #moveOn() {
    if (this.#trying) return;
    // Spread out, since all visitors of this node learn of the drain at the same time.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#trying || this.open(), Math.random() * 300);
  }

  #closed(socket) {
    if (socket === this.#current) this.#lose();
    else if (socket === this.#trying) this.#trying = null;
    if (this.#current || this.#trying) return;
    this.#retry();
  }

  #lose() {
    this.#current = null;
    this.#lostAt = performance.now();
    this.on.lost(this.#node);
  }

  /** At once the first time, since the other nodes are there; then 50 ms to 1 s, three quarters of it certain. */
  #retry() {
    const longest = this.#attempt && Math.min(FIRST_PAUSE * 2 ** (this.#attempt - 1), LONGEST_PAUSE);
    const pause = Math.round(longest * (0.75 + Math.random() / 4));
    this.#attempt += 1;
    this.on.waiting({ attempt: this.#attempt, pause });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), pause);
  }

  #listenForSilence() {
    for (const socket of [this.#current, this.#trying]) {
      if (!socket || performance.now() - socket.heard < LONGEST_SILENCE) continue;
      this.#drop(socket);
      this.#closed(socket);
    }
  }

  /** Closes without waiting for the other side's consent, which a hung node would never give. */
  #drop(socket) {
    socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
