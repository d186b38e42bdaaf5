// A primary of node:cluster that replaces its workers one by one on SIGHUP, by what node's documentation shows for
// `worker.disconnect()`: the old one is disconnected once the new one listens, and killed 2 s later if it is still there.
const cluster = require("node:cluster");

cluster.setupPrimary({ exec: process.argv[2] });
const forks = Number(process.argv[3]);
for (let n = 0; n < forks; n++) cluster.fork();

function replace(old) {
  return new Promise((resolve, reject) => {
    const worker = cluster.fork();
    worker.once("exit", (code) => reject(new Error(`the new worker ended with code ${code}`)));
    worker.once("listening", () => {
      worker.removeAllListeners("exit");
      const timeout = setTimeout(() => old.kill(), 2000);
      old.once("disconnect", () => clearTimeout(timeout));
      old.once("exit", resolve);
      old.disconnect();
    });
  });
}

process.on("SIGHUP", async () => {
  try {
    for (const old of Object.values(cluster.workers)) await replace(old);
  } catch (error) {
    console.error(`reload failed: ${error.message}`);
  }
});
