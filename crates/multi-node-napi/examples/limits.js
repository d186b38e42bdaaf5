'use strict';
// A limit of 100 requests a minute for each client, counted by four nodes (worker processes) together.
// Run `npm install @multi-node/server express express-rate-limit` and `node limits.js`; then `npx autocannon -a 300 localhost:8080`.

const express = require('express');
const { rateLimit } = require('express-rate-limit');
const { listen } = require('@multi-node/server');
const { RateLimitStore } = require('@multi-node/server/rate-limit');

const app = express();
app.use(rateLimit({ limit: 100, windowMs: 60_000, standardHeaders: 'draft-8', legacyHeaders: false, store: new RateLimitStore() }));
app.get('/', (request, response) => response.end(`hello from ${process.pid}\n`));

listen({ port: 8080, nodes: 4 }, app);
