// Serves the application by the Node.js package.
const { listen } = require("@PACKAGE@");
const server = require("./app.js");
const folder = process.env.TLS;

const certificates = folder && { cert: `${folder}/cert.pem`, key: `${folder}/key.pem` };
const nodes = listen({ host: "127.0.0.1", port: @PORT@, nodes: @NODES@, control: "@NAME@", certificates }, server);
nodes.on("drain", server.closeSockets);
