// A worker of node:cluster in a stronger form: it says `connection: close` in each answer for a second, then closes its server and
// what is idle.
const cluster = require("node:cluster");
const server = require("./app.js");

let closing = false;
server.prependListener("request", (request, response) => closing && response.setHeader("connection", "close"));
process.on("message", (message) => {
  if (message !== "shutdown") return;
  closing = true;
  setTimeout(() => {
    server.close(() => cluster.worker.disconnect());
    server.closeIdleConnections();
    server.closeSockets();
  }, 1000);
});
server.listen(Number(process.env.PORT), "127.0.0.1");
