// The next step of a rotation, and how it is written down.
import type { Cause } from '../domain/audit.ts';
import { decideWave, type RotationCount, withWave } from '../domain/decide-wave.ts';
import type { KekState } from '../domain/kek.ts';
import { keyUrl } from '../domain/key-id.ts';
import type { OutboxEntry } from '../ports/kek-store.ts';
import { toRotationRecord } from './rotation-record.ts';

export interface WaveTurn {
  readonly kek: KekState;
  readonly outbox: OutboxEntry;
}

/** The KEK with the next wave open, or with its rotation halted; null where neither follows from the count. */
export function turnWave(before: KekState, count: RotationCount, cause: Cause, now: Date): WaveTurn | null {
  const decision = decideWave(before, count, now);
  if (decision.kind === 'none') return null;
  const kek = withWave(before, decision, now);
  const { epoch, target } = kek;
  if (decision.kind === 'open') {
    const record = toRotationRecord(kek, 'wave', cause, now, { wave: decision.wave });
    return { kek, outbox: { audit: [record], events: [] } };
  }
  const { failures } = decision;
  const subject = keyUrl(before.kek, target ?? undefined);
  const type = 'PgCmk.RotationBlocked';
  const event = {
    id: `${subject}:${epoch}:${type}:halted:${now.toISOString()}`,
    type,
    subject,
    time: now,
    data: { reason: 'halted', target, failures },
  } as const;
  const record = toRotationRecord(kek, 'halted', cause, now, { failures });
  return { kek, outbox: { audit: [record], events: [event] } };
}
