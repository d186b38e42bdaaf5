/// <reference types="node" />
import { EventEmitter } from 'node:events';
import { RequestListener } from 'node:http';
import { Server, Socket } from 'node:net';

/** Options of `listen`. Times are in milliseconds. */
export interface Options {
  /** TCP port; 0 lets the system choose. Default 80. */
  port?: number;
  /** Address or name to bind. Default `0.0.0.0`. */
  host?: string;
  /** Further addresses: `127.0.0.1:9090`, `[::1]:9090`, `:9090`, `unix:/run/app.sock`. */
  bind?: string | string[];
  /** All addresses of the first server, in place of `host` and `port`. */
  addresses?: string | string[];
  /** Mode of Unix-socket files. Default `0o666`. */
  unixMode?: number;
  /** Connections that may wait in the kernel's queue. Default 4096. */
  backlog?: number;
  /** Processes that serve. Default: one for each core; 0 serves in this process. */
  nodes?: number;
  /** The most that `scale` may ask for. Default 256. */
  maxNodes?: number;
  /** Whether the master serves too. Default false. */
  masterListen?: boolean;
  /** Whether a node that ends unasked is replaced. Default true. */
  restart?: boolean;
  /** The original's name of `restart`. */
  restartChildren?: boolean;
  /** First and longest pause between restarts. Default `[100, 30000]`. */
  backoff?: [first: number, longest: number];
  /** What counts as a crash loop. Default 5 deaths within 60 s. */
  crashLoop?: { deaths: number; within: number };
  /** How many new nodes a reload starts ahead. Default 1. */
  surge?: number;
  /** From a node's start until it serves. Default 60 s. */
  startTimeout?: number;
  /** To finish what is in flight. Default 30 s. */
  drainTimeout?: number;
  /** How long nodes go on accepting after the command to shut down. Default 0. */
  shutdownDelay?: number;
  /** How long an event loop may be blocked before its node is replaced; 0 turns that off. Default 30 s. */
  hangTimeout?: number;
  /** After `upgrade`, how long nodes serve on without hearing of the new master. Default 60 s. */
  adoptTimeout?: number;
  /**
   * Lets a reload's first new node serve on trial for `duration`; it is taken back if it ends, hangs, or answers clearly more requests
   * by server errors than the old nodes: by more than `margin` (a share, default 0.01) of at least `minRequests` (100).
   */
  canary?: { duration: number; minRequests?: number; margin?: number };
  /** Replaces a node that has begun this number of HTTP requests. Default: no limit. */
  maxRequests?: number;
  /** Replaces a node after this time. Default: no limit. */
  maxAge?: number;
  /** Replaces a node that has more bytes in RAM, child processes included. Default: no limit. */
  maxMemory?: number;
  /**
   * Name of the control socket, for `multi-node status` and the like of the Rust command; `false`: there is none. Where it cannot be made,
   * the program warns and serves. Default: the program's name. Where another program has that name, the process id stands behind it.
   */
  control?: string | false;
  /**
   * Files in PEM of a certificate, with those that lead to its authority, and of its private key: for all servers of `https`, `tls` and
   * `http2.createSecureServer`, in place of what these were made with. The master reads and checks them, again in each reload and when
   * they change, and every node serves the new ones without a restart. Files that cannot be used leave those before in force, and are
   * an error in `status` and in the report of a reload.
   */
  certificates?: { cert: string; key: string };
  /** Address of `/metrics`, `/healthz`, `/readyz` and `/status`, such as `127.0.0.1:9100`. */
  metrics?: string;
  /** How one value is made of all nodes' values of a gauge, by the gauge's name. Default for each: `sum`. */
  aggregateGauge?: Record<string, 'sum' | 'max' | 'min' | 'mean' | 'first' | 'omit'>;
  /** Whether SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGUSR2 are handled. Default true. */
  signals?: boolean;
  /** Whether every process gets a stream to every other. Default true. */
  peers?: boolean;
  /** Whether nodes may give commands. Default false. */
  commandsFromNodes?: boolean;
  /** Whether the master writes a line for each event of a node to standard error. Default false. */
  logToStderr?: boolean;
  /**
   * Whether the master warns of TCP connections that were opened before `listen`: code there runs in every process, so each opens its
   * own. The warning has the code `MULTI_NODE_BEFORE_LISTEN`. With an inspector it is off. Default true.
   */
  warnBeforeListen?: boolean;
  /** Bytes of the largest message of topics and requests, from 1 KiB to 16 MiB. Default 1048576. */
  maxMessage?: number;
  /** Bytes of messages that wait for a process that reads slowly, from 64 KiB to 1 GiB; it misses further ones. Default 4194304. */
  maxPeerBacklog?: number;
  /** Messages that wait in one subscription; it misses further ones. Default 4096. */
  maxSubscriptionBacklog?: number;
  /** Requests of a process that wait for answers, and requests that it handles at a time; further ones fail. Default 1024. */
  maxRequestsInFlight?: number;
  /** How many keys limits can count at once, from 1 to 16,777,216. Default 65536. */
  maxKeys?: number;
  /** What nodes run in place of this Node.js. */
  program?: string;
  /** The nodes' script and its arguments, in place of this process's. */
  args?: string[];
  /** Flags for the Node.js of one slot, before the script. */
  slotArgs?(slot: number): string[];
  /** Variables for the nodes' environment; `{slot}` in a value stands for the node's slot. */
  env?: Record<string, string>;
  /**
   * User that nodes run as, by name or number: with its groups, and without privileges. The master keeps its own user, so as
   * root it can bind port 80. `HOME`, `USER` and `LOGNAME` become the user's. Default: this process's.
   */
  user?: string | number;
  /** Group as which nodes run. Default: the user's. */
  group?: string | number;
  /** Permission bits that files made by nodes do not get. Default: this process's. */
  umask?: number;
  /** Bytes that may wait for a peer before its stream is reset and offered anew. Default 256 MiB. */
  maxBuffered?: number;
  /** Milliseconds in which a peer takes none of the bytes that wait for it, before its stream is reset and offered anew. Default 10 s. */
  slowPeerTimeout?: number;
}

/** Applications that bring their own server, such as Fastify's. */
interface AppWithServer {
  server: Server;
  ready(): PromiseLike<unknown>;
}

/** Applications that make a request handler, such as Koa's. */
interface AppWithCallback {
  callback(): RequestListener;
}

/** What can be served: a server of Node.js, a request handler, an Express, Koa or Fastify application. */
export type Servable = Server | RequestListener | AppWithServer | AppWithCallback;

/** A server with an address of its own. */
export interface Addressed {
  host?: string;
  port: number;
  server: Servable;
}

/** A stream to another process. */
export interface NodeStream extends Socket {
  /** `master`, `node-1`… */
  readonly id: string;
  readonly slot: number | null;
  readonly pid: number;
  readonly isMaster: boolean;
  /** Writes that came after its end. */
  readonly dropped: number;
  /**
   * Whether that process drains: it finishes what it has, and takes no new clients. "draining" is emitted when it begins. Its stream
   * stays open until it ends.
   */
  readonly draining: boolean;
  /** How many streams to this process there were before: a stream that was reset is offered anew, with the next epoch. */
  readonly epoch: number;
}

export type State =
  | 'empty'
  | 'starting'
  | 'initializing'
  | 'serving'
  | 'draining'
  | 'killing'
  | 'exited'
  | 'backing_off'
  | 'failed';

export interface SlotStatus {
  slot: number;
  id?: string;
  pid?: number;
  state: State;
  /** Milliseconds since 1970. */
  since: number;
  generation: number;
  restarts: number;
  lastExit?: { code?: number; signal?: number };
  connections: number;
  /** HTTP requests begun, since the slot came to be. Upgrades to other protocols are not counted. */
  requests: number;
  /** HTTP requests begun and not fully answered. */
  inFlight: number;
}

export interface Status {
  ready: boolean;
  wanted: number;
  slots: SlotStatus[];
}

/** How one slot's node was replaced; times are in milliseconds. */
export interface Replacement {
  slot: number;
  old?: string;
  new: string;
  toReady: number;
  drain: number;
  killed: boolean;
  /** Connections that closed normally, went on in other nodes, and were cut at the deadline. */
  finished?: number;
  handedOff?: number;
  /** Idle connections with TLS of a Rust server that stayed open for one more request, and those of them closed while idle. 0 in Node.js. */
  kept?: number;
  keptClosed?: number;
  aborted?: number;
  /** HTTP requests that were begun and not fully answered. Neither is known of a slot without a node. */
  requestsFailed?: number;
}

/** HTTP requests that were answered, and how many of them by a server error. */
export interface Answers {
  requests: number;
  errors: number;
}

export interface ReloadReport {
  generation: number;
  /** Milliseconds. */
  took: number;
  slots: Replacement[];
  /** How the first new node has stood its trial. */
  canary?: { node: string; watched: number; new: Answers; old: Answers; byAnswers: boolean };
  /** Settings that have changed since the master has read them, and that a reload does not apply. */
  notApplied: { setting: string; inForce?: string; wanted?: string; appliedBy: 'upgrade' | 'scale' | 'restart' }[];
  /** What is wrong with the files of TLS certificates: the certificates before stay in force. */
  certificateErrors: string[];
}

export interface ScaleReport {
  from: number;
  to: number;
}

/** The end of a node's process. */
export interface Exit {
  id: string;
  slot: number;
  pid: number;
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A node that takes the place of one that ended unasked. */
export interface Restart {
  id: string;
  slot: number;
  pid: number;
}

interface Events {
  node: [stream: NodeStream];
  listening: [];
  ready: [];
  exit: [exit: Exit];
  restart: [restart: Restart];
  drain: [];
  close: [];
  /** A command by signal that was not carried out. */
  commandFailed: [error: Error];
  error: [error: Error];
}

/** A register of prom-client 15 or later. */
export interface MetricsRegister {
  getMetricsAsJSON(): Promise<unknown[]>;
}

/** Who sent a message: `master`, `node-1`… It may be this process. */
export interface Sender {
  from: string;
}

/** Messages of `from` that this subscription missed. */
export interface Lag extends Sender {
  missed: number;
}

/** A message of `from` that cannot be read. */
export interface Undecodable extends Sender {
  error: Error;
}

/** What an iterator of a topic gives: a message, a gap, or a message that cannot be read. */
export type TopicItem<T> =
  | { from: string; value: T; missed?: undefined; error?: undefined }
  | (Lag & { value?: undefined; error?: undefined })
  | (Undecodable & { value?: undefined; missed?: undefined });

/**
 * Messages to every process of the program that has subscribed to the same name, this one included. A Buffer, typed array, DataView
 * or ArrayBuffer is sent as its bytes and arrives as a Buffer, also inside of another value. Everything else is sent as by JSON, `undefined` as `null`.
 * What a Rust program publishes arrives as plain values, and its binary data as Buffers.
 *
 * A message reaches each subscription at most once, in the order of its publisher. At most `maxSubscriptionBacklog` messages wait in a subscription.
 */
export interface Topic<T = unknown> extends EventEmitter, AsyncIterable<TopicItem<T>> {
  readonly name: string;
  /**
   * Resolves when every live process has confirmed the first subscription and the history has come, or 2 s have passed for each:
   * `unconfirmed` names the processes that have not confirmed. It waits for a first listener or iterator. Rejects when the topic is closed before.
   */
  readonly subscribed: Promise<{ unconfirmed: string[] }>;
  /** The other processes that get what this one publishes, by their ids, as far as this one knows. "subscribers" is emitted with them at first and when they change. */
  readonly subscribers: string[];
  /**
   * Never waits. What one turn of the event loop publishes goes out together at its end, or sooner once it is much. `false`: some process
   * misses this message or what last went out, since too much waits for it; its subscriptions get "lag".
   *
   * @throws an error with the code `ERR_MULTI_NODE_TOO_LARGE` above `maxMessage`, `ERR_MULTI_NODE_TOPIC_CLOSED` after `close`; a TypeError
   * for what JSON has not.
   * @example
   * if (!chat.publish({ text })) console.warn('some process lags');
   */
  publish(value: T): boolean;
  /** Ends the subscriptions of this object. Iterators end. */
  close(): void;
  /**
   * The first listener begins the subscription.
   *
   * @example
   * chat.on('message', (value, { from }) => console.log(from, value)).on('lag', ({ from, missed }) => console.warn(from, missed));
   */
  on(event: 'message', listener: (value: T, sender: Sender) => void): this;
  on(event: 'lag', listener: (lag: Lag) => void): this;
  /** After what a process that has ended had published before. */
  on(event: 'subscribers', listener: (ids: string[]) => void): this;
  /** Without a listener the process warns. */
  on(event: 'undecodable', listener: (what: Undecodable) => void): this;
  /**
   * An iterator has a subscription of its own, which begins at once and waits while nobody asks. What it misses then is an item with `missed`.
   *
   * @example
   * for await (const { value, from, missed } of chat) console.log(from, missed ? `${missed} messages missed` : value);
   */
  [Symbol.asyncIterator](): AsyncIterator<TopicItem<T>>;
}

export interface RequestOptions {
  /** The id of a process, or the number of a slot. Default: any that has the handler, and the fewest requests of this process under way. */
  to?: string | number;
  /** Milliseconds until it fails. Default 5000. */
  timeout?: number;
  /** Gives the request up. */
  signal?: AbortSignal;
}

/** How much each key may do, counted for all processes together. */
export interface Limit {
  /**
   * Counts an event of this key, unless the limit is reached. Waits for no other process. Times are in milliseconds.
   *
   * @example
   * const { allowed, retryAfter } = logins.check(request.socket.remoteAddress);
   */
  check(key: string): { allowed: boolean; remaining: number; retryAfter: number; resetAfter: number };
  /** What `check` would give now. Counts nothing. */
  peek(key: string): { allowed: boolean; remaining: number; retryAfter: number; resetAfter: number };
  /** Takes back an event that was allowed, as if it had not been. */
  giveBack(key: string): void;
  /** Forgets what this key did. */
  reset(key: string): void;
}

/** A number that only grows, of all processes together. */
export interface Counter {
  readonly value: number;
  /**
   * Adds 1, or a whole number.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for what is none.
   */
  add(number?: number): void;
}

/** A number of which each process has a part. */
export interface Gauge {
  /** The sum over all processes. */
  readonly value: number;
  /**
   * Adds 1, or a whole number, to this process's part.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for what is none.
   */
  add(number?: number): void;
  /**
   * Sets this process's part to a whole number.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for what is none.
   */
  set(number: number): void;
}

/** This process's part in the program. */
export interface Nodes extends EventEmitter {
  readonly isMaster: boolean;
  /** `master`, `node-1`… */
  readonly id: string;
  readonly slot: number | null;
  /** The streams of all peers that are alive. */
  readonly peers: NodeStream[];
  /** Writes to peers that were dead. */
  readonly dropped: number;
  /** Resolves once every slot serves. */
  ready(): Promise<void>;
  /** Replaces every node, each new one ready before its old one drains. */
  reload(): Promise<ReloadReport>;
  /**
   * Replaces every node, and then this master by the script as it is on disk, in the same process: does not return where it succeeds.
   */
  upgrade(): Promise<never>;
  /** Replaces one slot's node by another of the same program. */
  restart(slot: number): Promise<Replacement>;
  scale(nodes: number): Promise<ScaleReport>;
  shutdown(): Promise<void>;
  status(): Promise<Status>;
  /**
   * Has the master tell what these registers tell in its nodes, of all nodes together, on the address of the option `metrics`. They are read
   * once a second while it does. Throws a TypeError with the code `ERR_MULTI_NODE_REGISTER` for what is no register.
   */
  metrics(register: MetricsRegister, ...more: MetricsRegister[]): void;

  /**
   * The topic of this name. With `history` this process keeps the last messages, gets them from the others when it starts, and gives them to
   * each later subscription.
   *
   * @throws an error with the code `ERR_MULTI_NODE_TOPIC` for a name that is empty or longer than 255 bytes, or one topic too many.
   * @example
   * const chat = nodes.topic('chat', { history: 50 });
   */
  topic<T = unknown>(name: string, options?: { history?: number }): Topic<T>;
  /**
   * Answers requests of this name, until the function is called that it returns. What the handler throws fails the request.
   *
   * @throws an error with the code `ERR_MULTI_NODE_HANDLER` where there is a handler of this name, or the name or handler is none.
   * @example
   * nodes.respond('square', async (number) => number * number);
   */
  respond<Q = unknown, A = unknown>(name: string, handler: (value: Q, sender: Sender) => A | Promise<A>): () => void;
  /**
   * Asks one process. Nothing is asked twice.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NO_SUCH_NODE`, `ERR_MULTI_NODE_NO_HANDLER`, `ERR_MULTI_NODE_GONE`, `ERR_MULTI_NODE_TIMED_OUT`,
   * `ERR_MULTI_NODE_OVERLOADED`, `ERR_MULTI_NODE_HANDLER_FAILED` or `ERR_MULTI_NODE_TOO_LARGE`. After `GONE` and `TIMED_OUT` the handler may
   * or may not have done what was asked.
   * @example
   * const squared = await nodes.request('square', 12, { timeout: 1000 });
   */
  request<A = unknown>(name: string, value?: unknown, options?: RequestOptions): Promise<A>;
  /**
   * Asks every process that has the handler. The map has the answer or the error of each, by its id.
   *
   * @throws an error with the code `ERR_MULTI_NODE_OPTION` for a wrong `timeout`.
   * @example
   * for (const [id, { value, error }] of await nodes.requestAll('size')) console.log(id, error?.code ?? value);
   */
  requestAll<A = unknown>(
    name: string,
    value?: unknown,
    options?: { timeout?: number; signal?: AbortSignal },
  ): Promise<Map<string, { value: A; error?: undefined } | { value?: undefined; error: Error & { code: string } }>>;
  /**
   * The limit of this name: `limit` events of each key in `per` milliseconds, all of which may come at once.
   *
   * @throws an error with the code `ERR_MULTI_NODE_OPTION` where nothing would be allowed, or more than can be counted.
   * @example
   * const logins = nodes.limit('login', { limit: 100, per: 60_000 });
   */
  limit(name: string, quota: { limit: number; per: number }): Limit;
  /**
   * The counter of this name.
   *
   * @throws an error with the code `ERR_MULTI_NODE_COUNTERS` where there are 256 already.
   * @example
   * nodes.counter('jobs').add(1);
   */
  counter(name: string): Counter;
  /**
   * The gauge of this name: a number of which each process has a part. When a process has ended, its part no longer counts.
   *
   * @throws an error with the code `ERR_MULTI_NODE_GAUGES` where there are 64 already.
   * @example
   * nodes.gauge('online').add(1);
   */
  gauge(name: string): Gauge;
  /**
   * Does a job in exactly one process of the machine: in the node that gets the lease of this name. When the job has ended, another node that has called this gets
   * the lease. `signal` aborts when the process drains, and when its master has gone: then the job should end. No other process gets the lease before it has ended.
   * In the master the job never runs while there are nodes.
   *
   * Resolves when this process takes no further part: the job has ended, or the process drains. Rejects with what the job has thrown, unless that is the
   * `AbortError` of `signal`; the lease is returned then.
   *
   * @throws an error with the code `ERR_MULTI_NODE_LEASE` for a name that is empty or longer than 255 bytes, and for more than 64 leases at a time.
   * @example
   * await nodes.leader('mails', async (signal) => {
   *   for await (const _ of setInterval(60_000, undefined, { signal })) await sendMails();
   * });
   */
  leader(name: string, job: (signal: AbortSignal) => unknown): Promise<void>;

  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  once<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  off<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  addListener<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  removeListener<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
}

/** Serves by several processes of this program. In a node it finds its place; in the master it binds and supervises. */
export function listen(options: Options, server: Servable | [Servable | Addressed, ...Addressed[]]): Nodes;

/** Whole messages on a stream: JSON between the bytes 0x00 and 0xFF. */
export class FrameStream<T = unknown> extends EventEmitter {
  constructor(stream: Socket, options?: { limit?: number });
  readonly stream: Socket;
  /** `false`: the stream is full, and says "drain" when it is not any more. */
  send(value: T): boolean;
  on(event: 'message', listener: (value: T) => void): this;
  on(event: 'end' | 'close' | 'drain', listener: () => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
}

export function frameStream<T = unknown>(stream: Socket, options?: { limit?: number }): FrameStream<T>;
