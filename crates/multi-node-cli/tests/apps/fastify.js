// A server that knows nothing of multi-node.
const fastify = require('fastify')()
fastify.get('/', async () => 'fastify ' + process.pid)
fastify.post('/', async request => request.body)
fastify.listen({ port: 3000, host: '127.0.0.1' })
