// After a range: whether it is time to count how far the rotation is. The sweep counts every minute anyway; this makes
// it prompt, and asks for one count a wave, not one a range.

import type { KekState } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { ROTATION_COUNT } from '../domain/message.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { mapBounded } from './bounded.ts';
import { isLeft } from './finish-rotation.ts';

export interface FollowDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
}

const READS_AT_A_TIME = 16;
/** A soak that takes longer is left to the sweep. */
const LONGEST_DELAY_SECONDS = 3600;

/** @param hasFailed whether a server of the range has failed that hadn't before */
export async function followRotation(deps: FollowDeps, kek: KekId, hasFailed: boolean): Promise<void> {
  const stored = await deps.keks.read(kek);
  if (stored === undefined) return;
  const { rotation, policy } = stored.kek.value;
  if (rotation.state !== 'running') return;
  if (hasFailed && policy.haltAfterFailures !== null) {
    await deps.queue.enqueueReconcile({ kek, cause: ROTATION_COUNT });
    return;
  }
  if (policy.waveSoakSeconds > LONGEST_DELAY_SECONDS || !(await isWaveDone(deps, stored.kek.value))) return;
  await deps.queue.enqueueReconcile({ kek, cause: ROTATION_COUNT }, policy.waveSoakSeconds);
}

/** Whether no server of the waves so far is left; a range whose servers failed is left to the sweep. */
async function isWaveDone(
  { servers }: FollowDeps,
  { kek, rotation, policy, target }: KekState,
): Promise<boolean> {
  if (rotation.state !== 'running' || rotation.wave === null || target === null) return false;
  const { number, upTo } = rotation.wave;
  if (number > 0) return !(await isLeft(servers, kek, target, upTo, upTo));
  const canaries = await mapBounded(policy.canaryServers, READS_AT_A_TIME, (id) => servers.read(kek, id));
  return canaries.every((one) => one === undefined || one.value.wrapped.kekVersion === target);
}
