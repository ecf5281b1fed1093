// The queues, as they behave: a message is hidden for a while, comes back when its worker fails, and not more often
// than so many times. What becomes of one on its way is for an action to say.
import { DELIVERIES, HIDDEN_SECONDS } from './actions.ts';
import type { Payload } from './site.ts';

export type Message = Payload & {
  readonly insertedAt: number;
  readonly visibleAt: number;
  readonly failures: number;
};

export class Messages {
  #waiting: Message[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#waiting.length;
  }

  put(payload: Payload, delaySeconds = 0): void {
    const now = this.#now();
    this.#waiting.push({ ...payload, insertedAt: now, visibleAt: now + delaySeconds * 1000, failures: 0 });
  }

  /** A message whose worker has failed; the fifth time it is poison. */
  putBack(message: Message | null): void {
    if (message === null || message.failures + 1 >= DELIVERIES) return;
    this.#waiting.push(this.#hidden({ ...message, failures: message.failures + 1 }));
  }

  take(queue: Payload['queue'] | undefined): Message | undefined {
    const now = this.#now();
    const index = this.#waiting.findIndex((one) => one.queue === queue && one.visibleAt <= now);
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  meddle(how: 'lose' | 'duplicate' | 'delay' | 'prefer', position: number): void {
    if (this.#waiting.length === 0) return;
    const [message] = this.#waiting.splice(position % this.#waiting.length, 1);
    if (message === undefined || how === 'lose') return;
    if (how === 'prefer') this.#waiting.unshift(message);
    else if (how === 'duplicate') this.#waiting.push(message, message);
    else this.#waiting.push(this.#hidden(message));
  }

  #hidden(message: Message): Message {
    return { ...message, visibleAt: this.#now() + HIDDEN_SECONDS * 1000 };
  }
}
