// A worker of node:cluster, as Node.js's documentation has it (`worker.disconnect()`).
const cluster = require("node:cluster");
const server = require("./app.js");

process.on("message", (message) => {
  if (message !== "shutdown") return;
  server.closeSockets();
  cluster.worker.disconnect();
});
server.listen(Number(process.env.PORT), "127.0.0.1");
