// The deploy: every node is replaced, while this page sends requests and counts those that are lost.

const REQUESTS_AT_ONCE = 4;
// Milliseconds, as all times here.
const PAUSE_BETWEEN_REQUESTS = 10;
const LONGEST_REQUEST = 10_000;
const LONGEST_DEPLOY = 60_000;

class Deploy {
  answered = 0;
  lost = 0;
  took = 0;
  state = "none";
  /** The newest generation before the deploy: every node that serves after it has a higher one. */
  #before = 0;
  #began = 0;

  /** `onChange(deploy)` is called after each request and at the end. */
  constructor(onChange) {
    this.onChange = onChange;
  }

  begin({ slots }) {
    Object.assign(this, { answered: 0, lost: 0, state: "running" });
    this.#before = Math.max(...slots.map(({ generation }) => generation));
    this.#began = performance.now();
    for (let count = 0; count < REQUESTS_AT_ONCE; count += 1) this.#ask();
  }

  /** Ends once the old nodes have ended, which have entries of their own in their slots. */
  see({ slots }) {
    if (this.state !== "running") return;
    if (slots.every(({ generation, state }) => generation > this.#before && state === "serving")) this.#end("done");
  }

  async #ask() {
    while (this.state === "running") {
      if (await this.#isAnswered()) this.answered += 1;
      else this.lost += 1;
      if (performance.now() - this.#began > LONGEST_DEPLOY) this.#end("given up");
      this.onChange(this);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_BETWEEN_REQUESTS));
    }
  }

  #isAnswered() {
    const asked = fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(LONGEST_REQUEST) });
    return asked.then(({ ok }) => ok, () => false);
  }

  #end(state) {
    if (this.state !== "running") return;
    this.state = state;
    this.took = Math.round(performance.now() - this.#began);
    this.onChange(this);
  }
}
