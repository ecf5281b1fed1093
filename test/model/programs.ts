// Which program a message starts.
import { access } from './access.ts';
import type { Program } from './io.ts';
import type { Message } from './messages.ts';
import { probe, reconcile, sweep } from './reconcile.ts';
import { rewrap } from './rewrap.ts';
import type { Process } from './site.ts';

export function programOf(process: Process, payload: Message): Program<void> {
  switch (payload.queue) {
    case 'timer':
      return payload.message === 'probe' ? probe(process) : sweep(process);
    case 'reconcile':
      return reconcile(process, payload.message, new Date(payload.insertedAt));
    case 'rewrap':
      return rewrap(process, payload.message);
    case 'access':
      return access(process, payload.message);
  }
}
