/// <reference types="node" />
import { EventEmitter } from 'node:events';
import { RequestListener } from 'node:http';
import { Server, Socket } from 'node:net';
import { JoinedSessionsOptions, JoinedSessionStore } from './session.js';

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
  crashLoop?: CrashLoop;
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
  canary?: Canary;
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
   * they change, and every node serves the new ones without a restart. Files that the master or OpenSSL refuses leave those before in
   * force, and are an error in `status` and in the report of a reload.
   */
  certificates?: CertificateFiles;
  /**
   * By what one node answers all HTTP/1 requests of a client, as far as possible. A value stays with its slot over reloads. Before Node.js reads a request,
   * its connection moves to the owner. A head may take a second; then this node answers. TLS and HTTP/2 have no affinity.
   */
  affinity?: Affinity;
  /**
   * Joins this machine to others that run a program of the same cluster, over servers of NATS: `nats://127.0.0.1:4222`, `tls://bus-1:4222,tls://bus-2:4222`.
   * Topics and requests reach all machines. One more process, the gateway, is connected to NATS. Without NATS each machine is on its own. Needs nodes.
   */
  join?: string | Join;
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
  /** Whether the master writes a line for each event of a node to standard error. Default true. */
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

/** Deaths of one slot's nodes within a time. */
export interface CrashLoop {
  /** How many there are. */
  deaths: number;
  /** The time, in milliseconds. */
  within: number;
}

/** The trial of a reload's first new node. */
export interface Canary {
  /** How long it serves on trial, in milliseconds. */
  duration: number;
  /** How many requests it has to have answered before its errors are compared. Default 100. */
  minRequests?: number;
  /** By which share of its answers its server errors may exceed those of the old nodes, from 0 to 1. Default 0.01. */
  margin?: number;
}

/**
 * By the value of a cookie, of a parameter in the query, or of a header, each by its name; or by the client's IP address. A value decides as it is
 * written in the request.
 */
export type Affinity = { cookie: string } | { query: string } | { header: string } | { clientAddress: true };

/** How other machines are joined. */
export interface Join {
  /** The servers of NATS, separated by commas. */
  url: string;
  /** This machine's name, which no other has. Default: the host's name. */
  machine?: string;
  /** What programs have in common that are joined. Default: the name of the script's file. */
  cluster?: string;
  /** The file with the user's JWT and NKey, as `nsc` writes it. */
  credentials?: string;
  /** The file with the seed of the user's NKey, where servers know it by its public part. */
  nkey?: string;
  /** The files by which servers know this machine. */
  clientCertificate?: CertificateFiles;
  /** The file with the certificates by which servers are known, in PEM. Default: those of the system. */
  rootCertificates?: string;
  /** Allows `nats://` to servers on other machines: messages and passwords cross the network unencrypted. Default false. */
  insecureBus?: boolean;
  /** Lets other machines have this one reload, by `multi-node reload --all-machines`. Default false. */
  remoteCommands?: boolean;
}

/** A process of another machine. As a text it is `process`. */
export interface RemoteProcess {
  /** By what requests and messages call it: `remote-43d178e5a6fb4793`. */
  id: string;
  /** Machine, slot, start of the program and number of the node: `alpha/2#9c41d2e0.7`. Never used again. */
  process: string;
  /** The name of its machine. */
  machine: string;
  /** Its slot; null for a master. */
  slot: number | null;
}

/** Another machine. */
export interface Machine {
  /** Its name. */
  name: string;
  /** Whether it was heard in the last 8 s. If not, the rest is what was true before. */
  reachable: boolean;
  /** How many nodes there should be. */
  wanted: number;
  /** Its processes, the master first. */
  processes: MachineProcess[];
}

/** A process of another machine, and how it is. */
export interface MachineProcess {
  /** By what requests and messages call it. */
  id: string;
  /** Machine, slot, start of the program and number of the node. */
  process: string;
  /** Its slot; null for the master. */
  slot: number | null;
  /** Its process id there. */
  pid: number;
  /** What it is doing. */
  state: State;
  /** Which release it runs. */
  generation: number;
}

/**
 * Why a process of another machine has left: its master saw its end; its machine has taken leave; or the machine, the network or NATS is silent, and it
 * may join again.
 */
export type WhyLeft = 'ended' | 'machineLeft' | 'machineSilent';

/** The files of a certificate, in PEM. */
export interface CertificateFiles {
  /** The path of the certificate, with those that lead to its authority. */
  cert: string;
  /** The path of its private key. */
  key: string;
  /**
   * The path of keys of session tickets that several machines share: a line each, of 64 hexadecimal digits. The first seals, and all open.
   * Without it the master makes keys and renews them every 12 hours; tickets of the key before stay good.
   */
  ticketKeys?: string;
}

/** Applications that bring their own server, such as Fastify's. */
interface AppWithServer {
  /** Serves the application. */
  server: Server;
  /** Resolves once the plugins are loaded. The node is ready then. */
  ready(): PromiseLike<unknown>;
}

/** Applications that make a request handler, such as Koa's. */
interface AppWithCallback {
  /** The request handler. */
  callback(): RequestListener;
}

/** What can be served: a server of Node.js, a request handler, an Express, Koa or Fastify application. */
export type Servable = Server | RequestListener | AppWithServer | AppWithCallback;

/** A server with an address of its own. */
export interface Addressed {
  /** Address or name to bind. Default `0.0.0.0`. */
  host?: string;
  /** TCP port; 0 lets the system choose. */
  port: number;
  /** What is served there. */
  server: Servable;
}

/** A stream to another process. */
export interface NodeStream extends Socket {
  /** `master`, `node-1`… */
  readonly id: string;
  /** The slot of that node; null for the master. A node keeps its slot's number over restarts. */
  readonly slot: number | null;
  /** Its process id. */
  readonly pid: number;
  /** Whether that process is the master. */
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

/** Where a slot is in its life. docs/lifecycle.md says what leads from one state to the next. */
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

/** How a node's process ended: one of both is there. */
export interface LastExit {
  /** The exit code, if it exited. */
  code?: number;
  /** The number of the signal, if one ended it. */
  signal?: number;
}

/** A slot, and the node in it. */
export interface SlotStatus {
  /** The number of the slot, from 0. */
  slot: number;
  /** The id of its node, such as `node-3`, if there is one. */
  id?: string;
  /** The process id of its node, if there is one. */
  pid?: number;
  /** What the slot does now. */
  state: State;
  /** When that state began, in milliseconds since 1970. */
  since: number;
  /** Which release its node runs: each reload adds 1. */
  generation: number;
  /** How often a node that ended unasked was replaced here. */
  restarts: number;
  /** How the last node here ended. */
  lastExit?: LastExit;
  /** Open connections. */
  connections: number;
  /** HTTP requests begun, since the slot came to be. Upgrades to other protocols are not counted. */
  requests: number;
  /** HTTP requests begun and not fully answered. */
  inFlight: number;
}

/** All slots of the program. */
export interface Status {
  /** Whether every slot serves. */
  ready: boolean;
  /** How many nodes there should be. */
  wanted: number;
  /** The slots, by their numbers. */
  slots: SlotStatus[];
}

/** How one slot's node was replaced; times are in milliseconds. */
export interface Replacement {
  /** The number of the slot. */
  slot: number;
  /** The id of the node that was replaced, if there was one. */
  old?: string;
  /** The id of the node that took its place. */
  new: string;
  /** From the new node's start until it served. */
  toReady: number;
  /** How long the old node drained. */
  drain: number;
  /** Whether the old node was killed at the deadline. */
  killed: boolean;
  /** Connections that closed normally. The counts are unknown of a slot without a node. */
  finished?: number;
  /** Connections that went on in other nodes. */
  handedOff?: number;
  /** Idle connections with TLS of a Rust server that stayed open for one more request. 0 in Node.js. */
  kept?: number;
  /** Those of them that were closed while idle. 0 in Node.js. */
  keptClosed?: number;
  /** Connections that were cut at the deadline. */
  aborted?: number;
  /** HTTP requests that were begun and not fully answered. */
  requestsFailed?: number;
}

/** HTTP requests that were answered. */
export interface Answers {
  /** How many there were. */
  requests: number;
  /** How many of them were answered by a server error. */
  errors: number;
}

/** How a reload's first new node has stood its trial. */
export interface CanaryReport {
  /** Its id. */
  node: string;
  /** How long it was watched, in milliseconds. */
  watched: number;
  /** What it has answered meanwhile. */
  new: Answers;
  /** What the old nodes have answered meanwhile. */
  old: Answers;
  /** Whether answers were compared. If not, they were too few, and it has passed by neither ending nor hanging. */
  byAnswers: boolean;
}

/** A setting that has changed, and that a reload does not apply. */
export interface NotApplied {
  /** Its name. */
  setting: string;
  /** Its value now, if it has one. */
  inForce?: string;
  /** The value that it has in the changed settings, if it has one there. */
  wanted?: string;
  /** The command that applies it. */
  appliedBy: 'upgrade' | 'scale' | 'restart';
}

/** What a reload has done. */
export interface ReloadReport {
  /** The generation of the new nodes. */
  generation: number;
  /** Milliseconds from the command until the last old node had ended. */
  took: number;
  /** How each slot's node was replaced. */
  slots: Replacement[];
  /** How the first new node has stood its trial. */
  canary?: CanaryReport;
  /** Settings that have changed since the master has read them, and that a reload does not apply. */
  notApplied: NotApplied[];
  /** What is wrong with the files of TLS certificates: the certificates before stay in force. */
  certificateErrors: string[];
}

/** What `scale` has done. */
export interface ScaleReport {
  /** How many nodes there were. */
  from: number;
  /** How many there are now. */
  to: number;
}

/** The end of a node's process. */
export interface Exit {
  /** The id of the node. */
  id: string;
  /** The slot that it was in. */
  slot: number;
  /** Its process id. */
  pid: number;
  /** Its exit code; null if a signal ended it. */
  code: number | null;
  /** The signal that ended it; null if it exited. */
  signal: NodeJS.Signals | null;
}

/** A node that takes the place of one that ended unasked. */
export interface Restart {
  /** The id of the new node. */
  id: string;
  /** The slot that it is in. */
  slot: number;
  /** Its process id. */
  pid: number;
}

/** The events of `Nodes`. */
interface Events {
  /** Another process is there, with a stream to it. */
  node: [stream: NodeStream];
  /** A process of another machine serves. A listener that is added later gets those that are there. */
  joined: [process: RemoteProcess];
  /** A process of another machine has left. */
  left: [process: RemoteProcess, why: WhyLeft];
  /** The addresses are bound. */
  listening: [];
  /** Every slot serves. */
  ready: [];
  /** A node has ended. In the master. */
  exit: [exit: Exit];
  /** A node takes the place of one that ended unasked. In the master. */
  restart: [restart: Restart];
  /** This process takes no more connections: close WebSockets, stop consumers. */
  drain: [];
  /** This process no longer serves. */
  close: [];
  /** A command by signal that was not carried out. */
  commandFailed: [error: Error];
  /** An address that could not be bound, or no node is left. */
  error: [error: Error];
}

/** A register of prom-client 15 or later. */
export interface MetricsRegister {
  /** All metrics of the register. */
  getMetricsAsJSON(): Promise<unknown[]>;
}

/** Who sent a message. */
export interface Sender {
  /** The id of that process: `master`, `node-1`… It may be this process. Of another machine: `remote-…`, which `nodes.remote` names. */
  from: string;
}

/** Messages of `from` that this subscription missed. */
export interface Lag extends Sender {
  /** How many. */
  missed: number;
}

/** A message of `from` that cannot be read. */
export interface Undecodable extends Sender {
  /** Why; its code is `ERR_MULTI_NODE_UNDECODABLE`. */
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
  /** The name that it was made with. */
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
  /**
   * Resolves when at most half of `maxPeerBacklog` waits for every subscribed process, so that a publisher can pause in place of making them
   * miss messages. A process that has stopped makes it wait: set a deadline of your own.
   *
   * @throws an error with the code `ERR_MULTI_NODE_TOPIC_CLOSED` after `close`.
   * @example
   * for (let sent = 1; sent <= 1_000_000; sent += 1) {
   *   chat.publish({ text });
   *   if (sent % 256 === 0) await chat.room();
   * }
   */
  room(): Promise<void>;
  /** Ends the subscriptions of this object, and its iterators. */
  close(): void;
  /**
   * The first listener begins the subscription.
   *
   * @example
   * chat.on('message', (value, { from }) => console.log(from, value)).on('lag', ({ from, missed }) => console.warn(from, missed));
   */
  on(event: 'message', listener: (value: T, sender: Sender) => void): this;
  /** Messages that this subscription missed. */
  on(event: 'lag', listener: (lag: Lag) => void): this;
  /** After what a process that has ended had published before. */
  on(event: 'subscribers', listener: (ids: string[]) => void): this;
  /** Without a listener the process warns. */
  on(event: 'undecodable', listener: (what: Undecodable) => void): this;
  /**
   * An iterator has a subscription of its own, which begins at once and waits while nobody asks. What it misses then is an item with `missed`.
   *
   * @throws an error with the code `ERR_MULTI_NODE_TOPIC_CLOSED` after `close`.
   * @example
   * for await (const { value, from, missed } of chat) console.log(from, missed ? `${missed} messages missed` : value);
   */
  [Symbol.asyncIterator](): AsyncIterator<TopicItem<T>>;
}

/** Options of a request. */
export interface RequestOptions {
  /** The id of a process, or the number of a slot. Default: any that has the handler, and the fewest requests of this process under way. */
  to?: string | number;
  /** Milliseconds until it fails. Default 5000. */
  timeout?: number;
  /** Gives the request up. */
  signal?: AbortSignal;
}

/** What a limit says of a key. */
export interface Verdict {
  /** Whether the event is within the limit. */
  allowed: boolean;
  /** How many more events may come at once. */
  remaining: number;
  /** Milliseconds until the next event is allowed; 0 if one is allowed now. */
  retryAfter: number;
  /** Milliseconds until the key has its whole limit again. */
  resetAfter: number;
}

/** How much each key may do, counted for all processes together. */
export interface Limit {
  /**
   * Counts an event of this key, unless the limit is reached. Waits for no other process.
   *
   * @example
   * const { allowed, retryAfter } = logins.check(request.socket.remoteAddress);
   */
  check(key: string): Verdict;
  /** What `check` would give now. Counts nothing. */
  peek(key: string): Verdict;
  /** Takes back an event that was allowed, as if it had not been. */
  giveBack(key: string): void;
  /** Forgets what this key did. */
  reset(key: string): void;
}

/** A number that only grows, of all processes together. */
export interface Counter {
  /** The sum over all processes, those that have ended included. */
  readonly value: number;
  /**
   * Adds 1, or a whole number.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for what is none, or is negative.
   * @example
   * nodes.counter('jobs').add(2);
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
   * @example
   * nodes.gauge('online').add(-1);
   */
  add(number?: number): void;
  /**
   * Sets this process's part to a whole number.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for what is none.
   * @example
   * nodes.gauge('online').set(sockets.clients.size);
   */
  set(number: number): void;
}

/**
 * This process's part in the program. A node's commands (`reload`, `restart`, `scale`, `shutdown`, `upgrade`) are refused with the code
 * `ERR_MULTI_NODE_NOT_FROM_NODES`, unless the option `commandsFromNodes` is on.
 *
 * @example
 * const nodes = listen({ port: 8080, nodes: 4 }, server);
 * if (nodes.isMaster) nodes.on('exit', ({ slot, signal, code }) => console.error(`slot ${slot}: ${signal ?? code}`));
 */
export interface Nodes extends EventEmitter {
  /** Whether this process is the master, or serves alone. */
  readonly isMaster: boolean;
  /** `master`, `node-1`… */
  readonly id: string;
  /** The slot of this node, which its replacement has too; null in the master. */
  readonly slot: number | null;
  /** The streams of all peers that are alive. */
  readonly peers: NodeStream[];
  /** Writes to peers that were dead. */
  readonly dropped: number;
  /**
   * Resolves once every slot serves; in a node never if the program shuts down before.
   *
   * @throws in the master an error with the code `ERR_MULTI_NODE_NO_NODES` where no node could be started, `ERR_MULTI_NODE_SHUTTING_DOWN`
   * where the program ends before.
   * @example
   * if (nodes.isMaster) nodes.ready().then(() => console.log('all nodes serve'));
   */
  ready(): Promise<void>;
  /**
   * Replaces every node, each new one ready before its old one drains.
   *
   * @throws an error with the code `ERR_MULTI_NODE_FAILED` where a new node did not start, `ERR_MULTI_NODE_ROLLED_BACK` after a canary that
   * failed, `ERR_MULTI_NODE_SUPERSEDED` where another reload took its place, `ERR_MULTI_NODE_BUSY` during another command,
   * `ERR_MULTI_NODE_SHUTTING_DOWN`, or `ERR_MULTI_NODE_SINGLE_PROCESS`.
   * @example
   * const { took, slots } = await nodes.reload();
   * console.log(`${slots.length} nodes replaced in ${took} ms`);
   */
  reload(): Promise<ReloadReport>;
  /**
   * Replaces every node, and then this master by the script as it is on disk, in the same process: does not return where it succeeds.
   *
   * @throws an error with the code `ERR_MULTI_NODE_FAILED` where the new script did not reach `listen` or wants other addresses,
   * `ERR_MULTI_NODE_MASTER_STAYS` where the nodes were replaced and the master was not, or one of `reload`.
   * @example
   * await nodes.upgrade().catch((error) => console.error(error.code, error.message));
   */
  upgrade(): Promise<never>;
  /**
   * Replaces one slot's node by another of the same program.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NO_SUCH_SLOT`, or one of `reload`.
   * @example
   * const { old, new: next } = await nodes.restart(0);
   */
  restart(slot: number): Promise<Replacement>;
  /**
   * Starts or ends nodes, until there are this many: 1 to `maxNodes`.
   *
   * @throws an error with the code `ERR_MULTI_NODE_OUT_OF_RANGE`, `ERR_MULTI_NODE_OPEN_FILES` where the limit of open files is too low, or
   * one of `reload`.
   * @example
   * await nodes.scale(8);
   */
  scale(nodes: number): Promise<ScaleReport>;
  /**
   * Drains and ends every node; resolves when the last one has ended.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NOT_FROM_NODES` or `ERR_MULTI_NODE_MASTER_GONE` in a node.
   * @example
   * await nodes.shutdown();
   */
  shutdown(): Promise<void>;
  /**
   * Each slot's node, its state, and what it does. A node's is at most 100 ms old.
   *
   * @example
   * const serving = (await nodes.status()).slots.filter(({ state }) => state === 'serving').length;
   */
  status(): Promise<Status>;
  /**
   * Has the master tell what these registers tell in its nodes, of all nodes together, on the address of the option `metrics`. They are read
   * once a second while it does.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_REGISTER` for what is no register.
   * @example
   * nodes.metrics(require('prom-client').register);
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
   * nodes.respond('memory', async () => process.memoryUsage().rss);
   */
  respond<Q = unknown, A = unknown>(name: string, handler: (value: Q, sender: Sender) => A | Promise<A>): () => void;
  /**
   * Asks one process. Nothing is asked twice.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NO_SUCH_NODE`, `ERR_MULTI_NODE_NO_HANDLER`, `ERR_MULTI_NODE_GONE`, `ERR_MULTI_NODE_UNREACHABLE` (NATS is not there), `ERR_MULTI_NODE_TIMED_OUT`,
   * `ERR_MULTI_NODE_OVERLOADED`, `ERR_MULTI_NODE_HANDLER_FAILED` or `ERR_MULTI_NODE_TOO_LARGE`. After `GONE` and `TIMED_OUT` the handler may
   * or may not have done what was asked.
   * @example
   * const bytes = await nodes.request('memory', undefined, { to: 0, timeout: 1000 });
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

  /**
   * As `leader`, in one process of all joined machines, and weaker: after 6 s without NATS the signal says that the lease is lost, after 9 s another
   * machine may begin the job, and nothing stops one that goes on. Give the `fencingToken`, which grows with each holder, to what the job changes. A
   * job whose lease was lost begins anew when it has ended and this process holds the lease again.
   *
   * @throws an error with the code `ERR_MULTI_NODE_LEASE` as `leader`, and in a process that serves alone.
   * @example
   * await nodes.joinedLeader('mails', (signal, { fencingToken }) => sendMails(fencingToken, signal));
   */
  joinedLeader(name: string, job: (signal: AbortSignal, term: { fencingToken: number }) => unknown): Promise<void>;

  /**
   * A store of sessions that all joined machines share, for express-session and @fastify/session: in a bucket of NATS's JetStream. Without NATS each call
   * is an error.
   *
   * @throws an error with the code `ERR_MULTI_NODE_OPTION` for wrong options, and in a process that serves alone.
   * @example
   * app.use(session({ store: nodes.joinedSessions(), secret: 'of yours', resave: false, saveUninitialized: false }));
   */
  joinedSessions(options?: JoinedSessionsOptions): JoinedSessionStore;

  /** The name of this machine, if it is joined to others; else null. */
  readonly machine: string | null;

  /**
   * The other machines that this process knows, with their processes.
   *
   * @example
   * for (const { name, reachable, processes } of nodes.machines()) console.log(name, reachable, processes.length);
   */
  machines(): Machine[];

  /**
   * Which process of another machine has this id; null: none that is known.
   *
   * @example
   * chat.on('message', (value, { from }) => console.log(String(nodes.remote(from) ?? from), value));
   */
  remote(id: string): RemoteProcess | null;

  /**
   * Whether this process answers the requests with this value, by the option `affinity`. A new session whose id is such a value stays here. `null`: this process
   * owns no values at present.
   *
   * @example
   * let id = crypto.randomUUID();
   * while (nodes.owns(id) === false) id = crypto.randomUUID();
   */
  owns(value: string): boolean | null;

  /**
   * Calls the listener for each event. One for "node" that is added late also gets the streams that are there.
   *
   * @example
   * nodes.on('drain', () => sockets.clients.forEach((client) => client.close(1001)));
   */
  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  /** As `on`, for the next event alone. */
  once<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  /** Removes the listener. */
  off<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  /** As `on`. */
  addListener<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
  /** As `off`. */
  removeListener<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
}

/**
 * Serves by several processes of this program. In a node it finds its place; in the master it binds and supervises.
 *
 * @throws an error with the code `ERR_MULTI_NODE_OPTION` or `ERR_MULTI_NODE_SERVER` for wrong arguments, `ERR_MULTI_NODE_SECOND_LISTEN`,
 * `ERR_MULTI_NODE_WORKER` in a worker thread, `ERR_MULTI_NODE_IN_TEST`, `ERR_MULTI_NODE_NO_SCRIPT`, `ERR_MULTI_NODE_NO_BINARY`, or what
 * keeps the master from starting: the system's code for an address, such as `EADDRINUSE`, and others in the README.
 * @example
 * const app = require('express')();
 * app.get('/', (request, response) => response.send(`hello from ${process.pid}`));
 * listen({ port: 8080, nodes: 4 }, app);
 */
export function listen(options: Options, server: Servable | [Servable | Addressed, ...Addressed[]]): Nodes;

/**
 * Whole messages on a stream: JSON between the bytes 0x00 and 0xFF.
 *
 * @example
 * nodes.on('node', (stream) => {
 *   const peer = new FrameStream(stream);
 *   peer.on('message', (value) => console.log(stream.id, 'says', value));
 *   peer.send({ hello: nodes.id });
 * });
 */
export class FrameStream<T = unknown> extends EventEmitter {
  /** `limit`: bytes of one message, at most; 16 MiB by default. */
  constructor(stream: Socket, options?: { limit?: number });
  /** The stream below. */
  readonly stream: Socket;
  /**
   * `false`: the stream is full, and says "drain" when it is not any more.
   *
   * @throws a TypeError for what JSON cannot express, a RangeError with the code `ERR_MULTI_NODE_FRAME` above `limit`.
   * @example
   * if (!peer.send({ text: 'hello' })) peer.once('drain', () => console.log('there is room again'));
   */
  send(value: T): boolean;
  /** Each message. */
  on(event: 'message', listener: (value: T) => void): this;
  /** As those of the stream. */
  on(event: 'end' | 'close' | 'drain', listener: () => void): this;
  /** Bytes that are no frames, with the code `ERR_MULTI_NODE_FRAME`. The stream is closed then. */
  on(event: 'error', listener: (error: Error) => void): this;
}

/**
 * Makes a `FrameStream`.
 *
 * @example
 * const peers = new Set();
 * nodes.on('node', (stream) => peers.add(frameStream(stream)));
 */
export function frameStream<T = unknown>(stream: Socket, options?: { limit?: number }): FrameStream<T>;
