// Koa: `node koa.js`, then `curl localhost:8080`. Middleware is registered before `listen`.
const Koa = require('koa');
const { listen } = require('@multi-node/server');

const app = new Koa();
app.use((context) => {
  context.body = `hello from ${process.pid}`;
});

listen({ port: 8080, nodes: 4 }, app);
