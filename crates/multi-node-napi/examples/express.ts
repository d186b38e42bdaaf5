// Express in TypeScript: `node --import tsx express.ts`, then `curl localhost:8080`. Node.js 22 and later need no `--import tsx`.
import express from 'express';
import { listen } from '@multi-node/server';

const app = express();
app.get('/', (_request, response) => void response.send(`hello from ${process.pid}`));

const nodes = listen({ port: 8080, nodes: 4 }, app);
if (nodes.isMaster) nodes.on('exit', ({ slot, signal, code }) => console.error(`slot ${slot}: ${signal ?? code}`));
