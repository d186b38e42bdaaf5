// The page: the visitors, the node that serves it, and the visitor's actions.

const $ = (id) => document.getElementById(id);
const ADJECTIVES = ["Amber", "Brave", "Calm", "Clever", "Coral", "Gentle", "Golden", "Happy", "Jolly", "Lucky", "Mellow",
  "Nimble", "Quiet", "Silver", "Sunny", "Swift", "Velvet", "Witty"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Hare", "Heron", "Lynx", "Marten", "Otter", "Owl",
  "Panda", "Puffin", "Robin", "Seal", "Swan", "Wren"];
const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

const page = { node: null, killing: null, status: null };
const talk = new Talk();
const strip = new Strip($("cards"), replaced);
const deploy = new Deploy(showDeploy);
const link = new Link(`${location.protocol.replace("http", "ws")}//${location.host}/ws`, { hello, event, lost, waiting });

// ---- what the server says

function hello({ node, slot }, change) {
  be(node, slot);
  showLink("open", "Connected to ", node);
  $("kill").disabled = false;
  // What fills no slot is a program that runs as a single process, which nothing would bring back.
  $("kill").hidden = $("deploy").hidden = slot === null;
  if (change) talk.note(arrival(node, change), change.moved ? "" : "bad");
  page.killing = null;
  for (const said of talk.unsent) link.send(said);
  showQueue();
}

function arrival(node, { from, moved, after }) {
  if (moved) return `${from} is draining; moved to ${node} without a gap`;
  const what = page.killing === from ? "was killed" : "went away";
  return `${from} ${what}; reconnected to ${node} after ${after.toLocaleString()} ms`;
}

function event(event) {
  if (event.type === "message") heard(event);
  else if (event.type === "history") event.messages.forEach((message) => talk.hear(message));
  else if (event.type === "status") status(event);
  showQueue();
}

function heard(message) {
  if (talk.hear(message)) strip.ring(message.slot);
}

function status(now) {
  page.status = now;
  strip.show(now);
  deploy.see(now);
  enableDeploy();
  const count = Math.max(now.wanted, 1);
  write($("fleet-title"), `One address, ${NUMBERS[count] ?? count} process${count === 1 ? "" : "es"}`);
  write($("visitors"), plural(now.visitors, "visitor"));
  $("visitors").hidden = false;
  tell();
}

/** The sentence under the heading. */
function tell() {
  const { slots, wanted } = page.status ?? { slots: [], wanted: 0 };
  const serving = new Set(slots.filter((s) => s.state === "serving").map((s) => s.slot)).size;
  const all = wanted === 1 ? "it is the only one" : "all of them are serving";
  const others = serving >= wanted ? all : `${serving} of ${wanted} ${serving === 1 ? "is" : "are"} serving`;
  $("more").hidden = wanted <= 1;
  const here = `You are talking to ${page.node}`;
  if (!page.node) write($("here"), "Looking for a node that answers.");
  else write($("here"), wanted > 0 ? `${here}; ${others}.` : `${here}.`);
}

/** The page wears the colour of the node that it is connected to. */
function be(node, slot) {
  page.node = node;
  document.body.className = node ? hue(slot ?? 0) : "hue-none lost";
  strip.mark(node);
  tell();
}

/** A node has ended, or was replaced in a reload. */
function replaced({ slot, id, before, exit }) {
  talk.note(exit ? `${before} ended (${exit}); ${id} took over slot ${slot}` : `${id} took over slot ${slot} from ${before}`);
}

// ---- the connection's own news

function lost(node) {
  be(null, null);
  $("kill").disabled = $("deploy").disabled = true;
  showLink("lost", "Lost ", node);
  showQueue();
}

function waiting({ attempt, pause }) {
  const when = pause ? `in ${pause} ms` : "now";
  showLink("lost", attempt === 1 ? "Reconnecting" : `Attempt ${attempt} ${when}`, "");
}

function showLink(state, text, node) {
  $("link").dataset.state = state;
  const name = document.createElement("b");
  name.textContent = node;
  $("link-text").replaceChildren(text, name);
}

function showDeploy({ state, answered, lost, took }) {
  const counted = `${plural(answered, "request")} answered, lost: ${lost}`;
  const words = {
    running: `Deploying: ${counted}`,
    done: `Deployed in ${(took / 1000).toFixed(1)} s: ${counted}`,
    "given up": `Not deployed within ${took / 1000} s, see the program's log: ${counted}`,
  };
  write($("count"), words[state]);
  $("count").classList.toggle("bad", lost > 0 || state === "given up");
  enableDeploy();
}

/** One deploy of this page at a time, and only while a node takes the command. */
function enableDeploy() {
  $("deploy").disabled = deploy.state === "running" || page.node === null || page.status === null;
}

function showQueue() {
  const waiting = page.node ? 0 : talk.unsent.length;
  write($("queue"), waiting ? `${plural(waiting, "message")} will be sent when the connection is back` : "");
}

// ---- what the visitor does

$("kill").addEventListener("click", () => {
  if (!link.send({ type: "kill" })) return;
  page.killing = page.node;
  $("kill").disabled = true;
  showLink("lost", "Killing ", page.node);
});

$("deploy").addEventListener("click", () => {
  if (!link.send({ type: "deploy" })) return;
  deploy.begin(page.status);
  enableDeploy();
});

$("composer").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  link.send(talk.write(rememberName(), text));
  $("text").value = "";
  fitText();
  showQueue();
  $("text").focus();
});

$("text").addEventListener("input", fitText);
$("text").addEventListener("keydown", (key) => {
  // A key that ends an input method's composition is no wish to send.
  if (key.key !== "Enter" || key.shiftKey || key.isComposing) return;
  key.preventDefault();
  $("composer").requestSubmit();
});
$("name").addEventListener("change", rememberName);

function fitText() {
  $("text").style.height = "auto";
  const border = $("text").offsetHeight - $("text").clientHeight;
  $("text").style.height = `${$("text").scrollHeight + border}px`;
}

function rememberName() {
  $("name").value = $("name").value.trim() || randomName();
  store("localStorage", "name", $("name").value);
  return $("name").value;
}

function randomName() {
  const any = (words) => words[Math.floor(Math.random() * words.length)];
  return `${any(ADJECTIVES)} ${any(ANIMALS)}`;
}

$("name").value = stored("localStorage", "name") ?? "";
rememberName();
link.open();
