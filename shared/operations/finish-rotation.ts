// The end of a rotation: said once, when no server that follows it is left behind.
import type { Cause } from '../domain/audit.ts';
import { isOff } from '../domain/decide-server.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import { onConflict } from './on-conflict.ts';
import { toRotationRecord } from './rotation-record.ts';

export type FinishRotation = (kek: KekId, cause: Cause) => Promise<void>;

/** Costs no vault call. */
export const makeFinishRotation =
  ({
    keks,
    servers,
    clock,
  }: {
    readonly keks: KekStore;
    readonly servers: ServerStore;
    readonly clock: Clock;
  }) =>
  (kek: KekId, cause: Cause): Promise<void> =>
    onConflict(async () => {
      const stored = await keks.read(kek);
      if (stored === undefined) return;
      const { target, rotation, epoch, census } = stored.kek.value;
      if (target === null || rotation.state !== 'running') return;
      if (await isLeft(servers, kek, target, census?.lastBehind ?? null)) return;
      const now = clock.now();
      const { startedAt } = rotation;
      const subject = keyUrl(kek, target);
      const milliseconds = now.getTime() - startedAt.getTime();
      await keks.commit(kek, {
        kek: {
          value: { ...stored.kek.value, rotation: { state: 'completed', startedAt, completedAt: now } },
          etag: stored.kek.etag,
        },
        versions: [],
        outbox: {
          audit: [toRotationRecord(stored.kek.value, 'completed', cause, now, { milliseconds })],
          events: [
            {
              id: `${subject}:${epoch}:PgCmk.RotationCompleted`,
              type: 'PgCmk.RotationCompleted',
              subject,
              time: now,
              data: { target, startedAt, completedAt: now },
            },
          ],
        },
      });
    });

/**
 * Whether a server is left that is not on `target`, of those up to `last` where it is named. That one is looked at first:
 * after every range but the last ones it is behind still, and no others need be searched for.
 */
export async function isLeft(
  servers: Pick<ServerStore, 'read' | 'hasServersOff'>,
  kek: KekId,
  target: string,
  last: string | null,
  upTo?: string,
): Promise<boolean> {
  const one = last === null ? undefined : await servers.read(kek, last);
  if (one !== undefined && isOff(one.value, target)) return true;
  return servers.hasServersOff(kek, target, upTo);
}
