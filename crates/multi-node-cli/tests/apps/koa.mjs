// A server that knows nothing of multi-node, as an ES module. It takes 3 s until it listens.
import { createRequire } from 'node:module'
const Koa = createRequire(import.meta.url)('koa')
const app = new Koa()
app.use(context => { context.body = 'koa ' + process.pid })
setTimeout(() => app.listen(3000), 3000)
