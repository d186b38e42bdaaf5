/// <reference types="node" />
import { EventEmitter } from 'node:events';
import { Nodes } from './index.js';

/** Options of a store. Times are in milliseconds. Every process of a program should give the same. */
export interface SessionStoreOptions {
  /**
   * A directory for the sessions, which survive restarts there. It must belong to the program's user, and no other user may write to it.
   * Default: `$STATE_DIRECTORY/sessions` where systemd gives one; else a directory of this run in memory, gone when the program ends.
   */
  path?: string;
  /** How long a session is kept whose cookie has no end of its own. Default: one day. */
  ttl?: number;
  /** How large the database may become; where it is full, the sessions that expire soonest are removed. Default 128 MiB. */
  maxBytes?: number;
  /** How large a session may be as JSON. Default 1 MiB. */
  maxSessionBytes?: number;
  /** How long a write waits for other processes. Default 2000. */
  busyTimeout?: number;
}

/** Called when the write is done, or with the error. */
type Done = (error?: any) => void;

/**
 * Sessions that all processes of the program share: a store for express-session, whose `Store` it extends where that is installed, and for
 * @fastify/session. Callbacks get errors with the codes `ERR_MULTI_NODE_SESSIONS_BUSY`, `ERR_MULTI_NODE_SESSIONS_FULL`,
 * `ERR_MULTI_NODE_SESSION_REFUSED`, `ERR_MULTI_NODE_SESSIONS_UNUSABLE` and `ERR_MULTI_NODE_SESSIONS_FAILED`.
 *
 * @example
 * app.use(session({ store: new SessionStore(), secret: 'of yours', resave: false, saveUninitialized: false }));
 */
export class SessionStore extends EventEmitter {
  /**
   * `nodes` is what `listen` returned.
   *
   * @throws an error with the code `ERR_MULTI_NODE_OPTION` for wrong options, `ERR_MULTI_NODE_NO_BINARY` where the package's binary cannot be
   * loaded.
   */
  constructor(nodes: Nodes, options?: SessionStoreOptions);
  /** Where the store is made before `listen` is called. */
  constructor(options?: SessionStoreOptions);

  /** The session of this id, or null. */
  get(sid: string, callback: (error: any, session?: any) => void): void;
  /** Keeps the session. One that was destroyed within the last ten minutes stays destroyed. */
  set(sid: string, session: any, callback?: Done): void;
  /** Keeps the session for longer. Written at most once a minute, for sessions that are kept for ten minutes or more. */
  touch(sid: string, session: any, callback?: Done): void;
  /** Ends the session. */
  destroy(sid: string, callback?: Done): void;
  /** Ends all sessions. */
  clear(callback?: Done): void;
  /** How many sessions there are. */
  length(callback: (error: any, length?: number) => void): void;
  /** All sessions. */
  all(callback: (error: any, sessions?: any[]) => void): void;

  /** Of express-session's `Store`, where that is installed. */
  regenerate(request: any, callback: (error?: any) => any): void;
  /** Of express-session's `Store`, where that is installed. */
  load(sid: string, callback: (error: any, session?: any) => any): void;
  /** Of express-session's `Store`, where that is installed. */
  createSession(request: any, session: any): any;
  /** Of express-session's `Store`, where that is installed. */
  generate(request: any): void;
}

/** Options of `nodes.joinedSessions`. Every process should give the same. */
export interface JoinedSessionsOptions {
  /** How long a session is kept whose cookie has no end of its own, in milliseconds. Default: one day. */
  ttl?: number;
  /** How large a session may be as JSON. Default 1 MiB; it has to fit into a message too. */
  maxSessionBytes?: number;
  /** How long a call waits for the answer, in milliseconds. Default 2000. */
  busyTimeout?: number;
}

/**
 * Sessions that all joined machines share. Callbacks get errors with the codes `ERR_MULTI_NODE_SESSIONS_FAILED` where NATS does not answer, and
 * `ERR_MULTI_NODE_SESSION_REFUSED`. A session that this process has seen and that is gone stays gone, even if a request still has it.
 */
export type JoinedSessionStore = Omit<SessionStore, 'all' | 'clear' | 'length'>;
