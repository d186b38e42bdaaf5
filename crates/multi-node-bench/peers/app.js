// The application of all servers of Node.js: Express, and a WebSocket that closes when its server drains.
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const express = require("express");
const { WebSocketServer } = require("ws");

const app = express();
app.get("/sleep/:ms", (request, response) => setTimeout(() => response.send("slept\n"), Number(request.params.ms)));
app.use((request, response) => response.send("@RELEASE@\n"));

// The folder with the certificate, to serve HTTPS.
const folder = process.env.TLS;
const read = (file) => fs.readFileSync(`${folder}/${file}`);
const secured = () => https.createServer({ cert: read("cert.pem"), key: read("key.pem") }, app);
const server = folder ? secured() : http.createServer(app);
server.keepAliveTimeout = 75_000;
const sockets = new WebSocketServer({ server, path: "/ws" });
server.closeSockets = () => sockets.clients.forEach((client) => client.close(1001));
module.exports = server;
