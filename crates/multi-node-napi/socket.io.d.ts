/// <reference types="node" />
import { Nodes } from './index.js';

/** Options of an adapter. Every process of a program should give the same. */
export interface AdapterOptions {
  /** Tells servers of one program apart that are not to hear each other: each name has topics of its own. Default `socket.io`. */
  name?: string;
  /** How many messages each process keeps for clients that were away, with connection state recovery. Default 10,000. */
  history?: number;
  /** How many clients that are away each process knows. Default 100,000. */
  maxSessions?: number;
}

/**
 * The adapter by which the socket.io servers of all processes are one: rooms, broadcasts with acknowledgements, `fetchSockets`,
 * `serverSideEmit`, and connection state recovery. `nodes` is what `listen` returned. Call it in every process.
 *
 * @throws an error with the code `ERR_MULTI_NODE_NO_SOCKET_IO` where socket.io cannot be found, `ERR_MULTI_NODE_OPTION` for wrong options.
 * @example
 * io.adapter(createAdapter(nodes));
 */
export function createAdapter(nodes: Nodes, options?: AdapterOptions): (namespace: any) => any;

/** What is needed of a socket.io server. */
interface HasEngine {
  /** engine.io's server. */
  engine: any;
}

/**
 * When this process drains, its socket.io connections end one after the other within the time `within`, in milliseconds, and their clients
 * reconnect to other nodes. Default 5000; it should be less than `drainTimeout`. Other processes keep their connections.
 *
 * @throws an error with the code `ERR_MULTI_NODE_OPTION` for wrong options.
 * @example
 * drain(io, nodes, { within: 10_000 });
 */
export function drain(io: HasEngine, nodes: Nodes, options?: { within?: number }): void;
