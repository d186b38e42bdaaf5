'use strict';
// The contract of a message bus that others have written down, over the streams: each message goes to the master and back.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { program } = require('./program.js');

const EMITTER = `
  const { listen, frameStream } = require("@multi-node/server");
  const MQEmitter = require("mqemitter");
  const server = require("http").createServer();
  const nodes = listen({ port: PORT, nodes: 1, restart: false }, server);
  const emitters = new Map();

  /** Emits what comes back from the other process. */
  class MeshEmitter extends MQEmitter {
    constructor(options, frames) {
      super(options);
      this.frames = frames;
      this.number = emitters.size;
      this.waiting = [];
      emitters.set(this.number, this);
    }
    emit(message, callback = () => undefined) {
      if (this.closed) return callback(new Error("mqemitter is closed"));
      this.waiting.push(callback);
      this.frames.send({ emitter: this.number, message });
      return this;
    }
    hear(message) {
      super.emit(JSON.parse(JSON.stringify(message), buffers), this.waiting.shift());
    }
  }

  /** What JSON makes of a buffer is one again. */
  function buffers(key, value) {
    return value?.type === "Buffer" && Array.isArray(value.data) ? Buffer.from(value.data) : value;
  }

  nodes.on("node", (stream) => {
    const frames = frameStream(stream);
    if (nodes.isMaster) return frames.on("message", (message) => frames.send(message));
    frames.on("message", ({ emitter, message }) => emitters.get(emitter).hear(message));
    const test = require("node:test");
    require("mqemitter/abstractTest.js")({ builder: (options) => new MeshEmitter(options, frames), test });
  });
`;

test("mqemitter's own tests hold over the streams", async (t) => {
  const suite = fs.readFileSync(require.resolve('mqemitter/abstractTest.js'), 'utf8');
  const count = suite.match(/^ {2}test\(/gm).length;
  assert.ok(count > 20);
  const server = await program(t, EMITTER, { flags: ['--test-reporter=tap'] });
  await server.says(new RegExp(`^ok ${count} `, 'm'));
  assert.doesNotMatch(server.output, /^not ok/m);
});
