// Time, chance and the log, so that operations can be run with others.

export interface Clock {
  now(): Date;
  sleep(milliseconds: number): Promise<void>;
}

export interface Random {
  bytes(length: number): Uint8Array;
  /** 0 ≤ n < limit. */
  integer(limit: number): number;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields hold ids, never a DEK, a token or a ciphertext. */
export interface Log {
  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void;
}
