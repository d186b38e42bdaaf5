// The application of Node.js in `loss`, for node:cluster and for PM2.
const http = require("node:http");

const RELEASE = "@RELEASE@";
const PATTERN = Buffer.from(Array.from({ length: (1 << 20) + 1000 }, (_, at) => at % 251));

const server = http.createServer((request, response) => {
  const [, route, argument] = request.url.split("/");
  const answer = (body) => response.writeHead(200, { "content-length": Buffer.byteLength(body) }).end(body);
  if (route === "bytes") {
    answer(PATTERN.subarray(0, Number(argument)));
  } else if (route === "sleep") {
    setTimeout(() => answer(`slept ${argument}\n`), Number(argument));
  } else if (route === "echo") {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece)).on("end", () => answer(Buffer.concat(pieces)));
  } else {
    answer(RELEASE);
  }
});
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env.PORT), "127.0.0.1", () => process.send("ready"));

// As PM2's documentation has it ("Graceful start/shutdown"); node:cluster uses `disconnect` instead.
process.on("SIGINT", () => server.close(() => process.exit(0)));
