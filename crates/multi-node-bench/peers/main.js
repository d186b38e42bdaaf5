// Serves the application in one process, and ends as Express's documentation has it ("Health checks and graceful shutdown").
const server = require("./app.js");

function end() {
  server.close(() => process.exit(0));
  server.goodbye();
}
process.on("SIGTERM", end);
process.on("SIGINT", end); // PM2's ("Graceful start/shutdown")
process.on("disconnect", server.goodbye);

server.listen(Number(process.env.PORT), "127.0.0.1", () => process.send?.("ready"));
