/// <reference types="node" />
import { Nodes } from './index.js';

/** Options of a store. */
export interface RateLimitStoreOptions {
  /** Stands in front of the keys. Each limiter needs one of its own. Default `rate-limit`. */
  prefix?: string;
}

/**
 * A store for express-rate-limit, by which all processes of the program count together. The `limit` has to be a number. All of it may come
 * at once, and then one request each `windowMs / limit`.
 *
 * @example
 * app.use(rateLimit({ limit: 100, windowMs: 60_000, store: new RateLimitStore() }));
 */
export class RateLimitStore {
  /**
   * `nodes` is what `listen` returned.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for wrong options.
   */
  constructor(nodes: Nodes, options?: RateLimitStoreOptions);
  /** Where the store is made before `listen` is called. */
  constructor(options?: RateLimitStoreOptions);

  /** What stands in front of the keys. */
  readonly prefix: string;
  /** Whether each process counts alone: no. */
  localKeys: boolean;
  /**
   * Called by express-rate-limit with its options.
   *
   * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` where `limit` is no number, or two limiters have one prefix.
   */
  init(options: any): void;
  /**
   * Counts a request of this key.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NOT_LISTENING` before `listen` was called.
   */
  increment(key: string): Promise<{ totalHits: number; resetTime: Date | undefined }>;
  /** Takes back a request that was counted. */
  decrement(key: string): Promise<void>;
  /** Forgets what this key did. */
  resetKey(key: string): Promise<void>;
  /**
   * What this key did. Counts nothing.
   *
   * @throws an error with the code `ERR_MULTI_NODE_NOT_LISTENING` before `listen` was called.
   */
  get(key: string): Promise<{ totalHits: number; resetTime: Date | undefined }>;
}

/**
 * The class that @fastify/rate-limit takes as its `store`. Not with `continueExceeding`, `exponentialBackoff` or a `ban` above 0.
 *
 * @throws a TypeError with the code `ERR_MULTI_NODE_OPTION` for wrong options; its class also for those of @fastify/rate-limit above.
 * @example
 * fastify.register(rateLimit, { max: 100, timeWindow: 60_000, store: fastifyStore() });
 */
export function fastifyStore(nodes: Nodes, options?: RateLimitStoreOptions): new (options: any) => any;
/** Where it is made before `listen` is called. */
export function fastifyStore(options?: RateLimitStoreOptions): new (options: any) => any;
