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

type Done = (error?: any) => void;

/**
 * Sessions that all processes of the program share: a store for express-session, whose `Store` it extends where that is installed, and for
 * @fastify/session.
 */
export class SessionStore extends EventEmitter {
  constructor(nodes: Nodes, options?: SessionStoreOptions);
  /** Where the store is made before `listen` is called. */
  constructor(options?: SessionStoreOptions);

  get(sid: string, callback: (error: any, session?: any) => void): void;
  set(sid: string, session: any, callback?: Done): void;
  touch(sid: string, session: any, callback?: Done): void;
  destroy(sid: string, callback?: Done): void;
  clear(callback?: Done): void;
  length(callback: (error: any, length?: number) => void): void;
  all(callback: (error: any, sessions?: any[]) => void): void;

  // Those of express-session's `Store`, there where it is installed.
  regenerate(request: any, callback: (error?: any) => any): void;
  load(sid: string, callback: (error: any, session?: any) => any): void;
  createSession(request: any, session: any): any;
  generate(request: any): void;
}
