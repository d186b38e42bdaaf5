// Fastify: `node fastify.js`, then `curl localhost:8080`. A node is ready when the plugins are loaded.
const fastify = require('fastify')();
const { listen } = require('@multi-node/server');

fastify.register(async (plugin) => {
  // What the plugin opens, such as a pool, is opened in each node, and closed when the node ends.
  plugin.decorate('greeting', 'hello from');
  plugin.get('/', async () => `${plugin.greeting} ${process.pid}`);
});

const nodes = listen({ port: 8080, nodes: 4 }, fastify);
nodes.on('drain', () => fastify.log.info('no new connections from now on'));
