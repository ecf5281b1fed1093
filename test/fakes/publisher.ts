// A topic that remembers what was published, and can be down.
import { CmkError } from '../../shared/domain/errors.ts';
import type { OwnEvent, OwnEventType } from '../../shared/domain/own-event.ts';
import type { Publisher } from '../../shared/ports/publisher.ts';

export class FakePublisher implements Publisher {
  readonly events: OwnEvent[] = [];
  down = false;

  async publish(events: readonly OwnEvent[]): Promise<void> {
    if (this.down) {
      throw new CmkError('PublishFailed', 'the topic answers 503', {
        remedy: 'Nothing: the outbox keeps the events.',
        retryable: true,
      });
    }
    this.events.push(...events);
  }

  /** The ids of the published events of one type, in order. */
  idsOf(type: OwnEventType): readonly string[] {
    return this.events.filter((event) => event.type === type).map(({ id }) => id);
  }
}
