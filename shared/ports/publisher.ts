// Own events, to whoever subscribes.
import type { OwnEvent } from '../domain/own-event.ts';

export interface Publisher {
  /** @throws CmkError PublishFailed (retryable): nothing is lost, the outbox keeps them */
  publish(events: readonly OwnEvent[]): Promise<void>;
}
