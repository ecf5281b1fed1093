// The four queues in memory, on the fake clock: a delay hides a message, a failed delivery brings it back, the fifth
// failure makes it poison. Which message comes next, and whether it comes twice or not at all, is for a test to say.
import type { CmkError } from '../../shared/domain/errors.ts';
import type { ProbeMessage, QueueName, RangeMessage, ReconcileMessage } from '../../shared/domain/message.ts';
import type { WorkQueue } from '../../shared/ports/work-queue.ts';
import type { FakeClock } from './runtime.ts';

export type Payload =
  | { readonly queue: 'reconcile-keks'; readonly message: ReconcileMessage }
  | { readonly queue: 'rewrap-deks' | 'server-access'; readonly message: RangeMessage }
  | { readonly queue: 'probe-keks'; readonly message: ProbeMessage };

export type QueuedMessage = Payload & {
  readonly id: string;
  readonly insertedAt: Date;
  readonly visibleAt: Date;
  readonly failures: number;
};

export interface QueueHandlers {
  deliver(message: QueuedMessage): Promise<void>;
  poison(message: QueuedMessage, error: unknown): Promise<void>;
}

export type Fate = 'keep' | 'drop' | 'duplicate';

const DELIVERIES = 5;
const VISIBILITY_SECONDS = 30;
const RUNAWAY = 20_000;

export class FakeWorkQueue implements WorkQueue {
  /** What was enqueued since the start, in order, dropped and duplicated messages once each. */
  readonly sent: QueuedMessage[] = [];
  /** What becomes of a message when it is enqueued. */
  fate: (message: QueuedMessage) => Fate = () => 'keep';
  /** Which of the visible messages comes next; the first by default. */
  pick: (count: number) => number = () => 0;
  /** Called after every delivery. */
  afterDelivery: (message: QueuedMessage) => void | Promise<void> = () => {};
  /** What every message carries besides. */
  carried: () => object | null = () => null;
  handlers: QueueHandlers | null = null;
  readonly #clock: FakeClock;
  #waiting: QueuedMessage[] = [];
  #failure: { readonly error: CmkError; readonly queue: QueueName } | null = null;
  #made = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** The next enqueueing to `queue` fails and leaves nothing there. */
  failNext(queue: QueueName, error: CmkError): void {
    this.#failure = { error, queue };
  }

  async enqueueReconcile(message: ReconcileMessage, delaySeconds = 0): Promise<void> {
    this.#put([{ queue: 'reconcile-keks', message }], delaySeconds);
  }

  async enqueueRewrap(messages: readonly RangeMessage[], delaySeconds = 0): Promise<void> {
    this.#put(
      messages.map((message) => ({ queue: 'rewrap-deks', message })),
      delaySeconds,
    );
  }

  async enqueueAccess(messages: readonly RangeMessage[], delaySeconds = 0): Promise<void> {
    this.#put(
      messages.map((message) => ({ queue: 'server-access', message })),
      delaySeconds,
    );
  }

  async enqueueProbe(message: ProbeMessage): Promise<void> {
    this.#put([{ queue: 'probe-keks', message }], 0);
  }

  /** What is in the queues now, visible or not. */
  waiting(queue?: QueueName): readonly QueuedMessage[] {
    return this.#waiting.filter((message) => queue === undefined || message.queue === queue);
  }

  /** Loses everything that waits. */
  clear(): void {
    this.#waiting = [];
  }

  /** Takes one visible message out, without delivering it. */
  take(): QueuedMessage | undefined {
    const now = this.#clock.now().getTime();
    const visible = this.#waiting.filter(({ visibleAt }) => visibleAt.getTime() <= now);
    const picked = visible.length === 0 ? undefined : visible[this.pick(visible.length) % visible.length];
    this.#waiting = this.#waiting.filter((message) => message !== picked);
    return picked;
  }

  /** Delivers one visible message; whether there was one. Resolves when its handler is done. */
  async step(): Promise<boolean> {
    const message = this.take();
    if (message === undefined) return false;
    const handlers = this.handlers;
    if (handlers === null) throw new Error('nobody listens');
    try {
      await handlers.deliver(message);
    } catch (error) {
      const failures = message.failures + 1;
      const visibleAt = new Date(this.#clock.now().getTime() + VISIBILITY_SECONDS * 1000);
      if (failures < DELIVERIES) this.#waiting.push({ ...message, failures, visibleAt });
      else await handlers.poison(message, error);
    }
    await this.afterDelivery(message);
    return true;
  }

  /** Delivers until nothing is visible; how many deliveries that took. The clock stands still. */
  async drain(): Promise<number> {
    let delivered = 0;
    while (await this.step()) {
      delivered += 1;
      if (delivered > RUNAWAY) throw new Error('the queues never run dry');
    }
    return delivered;
  }

  /** Delivers what is or becomes visible within `seconds`, moving the clock from one to the next and to the end. */
  async drainFor(seconds: number): Promise<number> {
    const end = this.#clock.now().getTime() + seconds * 1000;
    let delivered = await this.drain();
    for (;;) {
      const times = this.#waiting.map(({ visibleAt }) => visibleAt.getTime());
      const next = Math.min(...times);
      if (next > end) break;
      this.#clock.advanceTo(new Date(next));
      delivered += await this.drain();
    }
    this.#clock.advanceTo(new Date(end));
    return delivered;
  }

  #put(payloads: readonly Payload[], delaySeconds: number): void {
    for (const payload of payloads) {
      const failure = this.#failure;
      if (failure?.queue === payload.queue) {
        this.#failure = null;
        throw failure.error;
      }
      // As JSON and back again, so that nothing travels by reference.
      const copy: Payload = structuredClone(payload);
      Object.assign(copy.message, this.carried());
      const insertedAt = this.#clock.now();
      const visibleAt = new Date(insertedAt.getTime() + delaySeconds * 1000);
      const make = (): QueuedMessage => {
        this.#made += 1;
        return { ...copy, id: `m${this.#made}`, insertedAt, visibleAt, failures: 0 };
      };
      const message = make();
      this.sent.push(message);
      const fate = this.fate(message);
      if (fate !== 'drop') this.#waiting.push(message);
      if (fate === 'duplicate') this.#waiting.push(make());
    }
  }
}
