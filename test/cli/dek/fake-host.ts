// A machine whose time only a test moves, and whose shell remembers what it was told.
import type { DekHost } from '../../../cli/dek/host.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Lets everything run that is ready to. */
export const flush = () => new Promise<void>((resolve) => setImmediate(resolve));

export class FakeHost implements DekHost {
  readonly commands: { readonly command: string; readonly env: Readonly<Record<string, string>> }[] = [];
  shellStatus: number | null = 0;
  chance = 0;
  outputClosed = false;
  readonly #stops = new Set<() => void>();
  #now = 5_000;
  #sleepers: Sleeper[] = [];

  monotonicMs(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds <= 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper = { until: this.#now + milliseconds, wake: resolve };
      this.#sleepers.push(sleeper);
      signal.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        resolve();
      });
    });
  }

  async runShell(command: string, env: Readonly<Record<string, string>>): Promise<number | null> {
    this.commands.push({ command, env });
    return this.shellStatus;
  }

  onStop(listener: () => void): () => void {
    this.#stops.add(listener);
    return () => void this.#stops.delete(listener);
  }

  closeOutput(): void {
    this.outputClosed = true;
  }

  stop(): void {
    for (const listener of this.#stops) listener();
  }

  get listeners(): number {
    return this.#stops.size;
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Moves on to each moment that somebody sleeps until, one by one. */
  async advance(seconds: number): Promise<void> {
    const end = this.#now + seconds * 1000;
    for (;;) {
      await flush();
      const next = this.#sleepers.toSorted((a, b) => a.until - b.until)[0];
      if (next === undefined || next.until > end) break;
      this.#sleepers = this.#sleepers.filter((one) => one !== next);
      this.#now = next.until;
      next.wake();
    }
    this.#now = end;
    await flush();
  }
}
