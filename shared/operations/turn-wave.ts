// The next step of a rotation, and how it is written down.
import type { Cause } from '../domain/audit.ts';
import { decideWave, type RotationCount, withWave } from '../domain/decide-wave.ts';
import type { KekState } from '../domain/kek.ts';
import { keyUrl } from '../domain/key-id.ts';
import type { OutboxEntry } from '../ports/kek-store.ts';

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
  const record = (reason: string, detail: Readonly<Record<string, unknown>>) => ({
    at: now,
    action: 'kek.rotation' as const,
    cause,
    servers: [],
    versionBefore: null,
    versionAfter: target,
    reason,
    detail: { epoch, ...detail },
  });
  if (decision.kind === 'open') {
    return { kek, outbox: { audit: [record('wave', { wave: decision.wave })], events: [] } };
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
  return { kek, outbox: { audit: [record('halted', { failures })], events: [event] } };
}
