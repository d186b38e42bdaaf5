// Serves the application in one process, and ends as Express's documentation has it ("Health checks and graceful shutdown").
const server = require("./app.js");

function end() {
  server.close(() => process.exit(0));
  server.closeSockets();
}
process.on("SIGTERM", end);
process.on("SIGINT", end); // PM2's ("Graceful start/shutdown")
process.on("disconnect", server.closeSockets);

server.listen(Number(process.env.PORT), "127.0.0.1", () => process.send?.("ready"));
