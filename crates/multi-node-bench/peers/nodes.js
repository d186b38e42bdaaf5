// Serves the application by the Node.js package.
const { listen } = require("@PACKAGE@");
const server = require("./app.js");

const nodes = listen({ host: "127.0.0.1", port: @PORT@, nodes: @NODES@, control: "@NAME@" }, server);
nodes.on("drain", server.closeSockets);
