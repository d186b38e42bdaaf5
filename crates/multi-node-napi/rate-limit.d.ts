/// <reference types="node" />
import { Nodes } from './index.js';

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
  constructor(nodes: Nodes, options?: RateLimitStoreOptions);
  /** Where the store is made before `listen` is called. */
  constructor(options?: RateLimitStoreOptions);

  readonly prefix: string;
  localKeys: boolean;
  init(options: any): void;
  increment(key: string): Promise<{ totalHits: number; resetTime: Date | undefined }>;
  decrement(key: string): Promise<void>;
  resetKey(key: string): Promise<void>;
  get(key: string): Promise<{ totalHits: number; resetTime: Date | undefined }>;
}

/**
 * The class that @fastify/rate-limit takes as its `store`. Not with `continueExceeding`, `exponentialBackoff` or a `ban` above 0.
 *
 * @example
 * fastify.register(rateLimit, { max: 100, timeWindow: 60_000, store: fastifyStore() });
 */
export function fastifyStore(nodes: Nodes, options?: RateLimitStoreOptions): new (options: any) => any;
export function fastifyStore(options?: RateLimitStoreOptions): new (options: any) => any;
