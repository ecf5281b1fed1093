// What an operation of one vault works with, and what it gives back.
import type { KeyPool } from './key-material.ts';
import type { KeyStore } from './key-store.ts';
import type { Switches } from './switches.ts';

export interface VaultContext {
  readonly url: string;
  readonly store: KeyStore;
  readonly pool: KeyPool;
  switches(): Switches;
  nowSeconds(): number;
  /** `version` empty: of the key as a whole. Names another key during the outage `wrongKey`. */
  toKid(name: string, version: string): string;
}

export interface Answer {
  readonly status: number;
  /** JSON, or empty. */
  readonly body: string;
  /** The counter that this answer adds to. */
  readonly count: string;
}
