// A primary of node:cluster that replaces its workers one by one on SIGHUP, by what Node.js's documentation shows for
// `worker.disconnect()`: the old one shuts down once the new one listens, and is killed after a time.
const cluster = require("node:cluster");

const [exec, forks, time] = process.argv.slice(2);
cluster.setupPrimary({ exec });
for (let n = 0; n < Number(forks); n++) cluster.fork();

function replace(old) {
  return new Promise((resolve, reject) => {
    const worker = cluster.fork();
    worker.once("exit", (code) => reject(new Error(`the new worker ended with code ${code}`)));
    worker.once("listening", () => {
      worker.removeAllListeners("exit");
      const timeout = setTimeout(() => old.kill(), Number(time));
      old.once("disconnect", () => clearTimeout(timeout));
      old.once("exit", resolve);
      old.send("shutdown");
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
