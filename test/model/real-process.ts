// One worker's process with the real operations in it, wired as the composition root wires them, behind its own gate.
import { makeApplyServerAccess } from '../../shared/operations/apply-server-access.ts';
import { makeFanOut } from '../../shared/operations/fan-out.ts';
import { makeFindWrapping } from '../../shared/operations/find-wrapping.ts';
import { makeFinishRotation } from '../../shared/operations/finish-rotation.ts';
import { makeObserveKek } from '../../shared/operations/observe-kek.ts';
import { makeProbeKeks } from '../../shared/operations/probe-keks.ts';
import { makeReconcileKek } from '../../shared/operations/reconcile-kek.ts';
import { makeRewrapDeks } from '../../shared/operations/rewrap-deks.ts';
import { makeSweepFleet } from '../../shared/operations/sweep-fleet.ts';
import { makeTargetProofs } from '../../shared/operations/target-proofs.ts';
import type { Clock } from '../../shared/ports/runtime.ts';
import type { ServerAccess } from '../../shared/ports/server-access.ts';
import type { Stores } from '../contracts/stores.ts';
import type { FakeKeyVault } from '../fakes/key-vault.ts';
import { CollectingLog, makeSeededRandom } from '../fakes/runtime.ts';
import { CollectingMeter } from '../fakes/telemetry.ts';
import { type Gate, gateAccess, gateKeks, gateQueue, gateServers, gateVault } from './gate.ts';
import type { Message, Messages } from './messages.ts';
import { RULES } from './site.ts';

export type Instance = ReturnType<typeof startInstance>;

/** Every sweep looks at every KEK. */
const SWEEP_RULES = { sweepSeconds: 0, unsettledSeconds: 0, everySeconds: 60 };

export function startInstance(parts: {
  readonly stores: Stores;
  readonly vault: FakeKeyVault;
  readonly access: ServerAccess;
  readonly messages: Messages;
  readonly clock: Clock;
  readonly gate: Gate;
}) {
  const { stores, clock, gate } = parts;
  const { index } = stores;
  const keks = gateKeks(gate, stores.keks);
  const servers = gateServers(gate, stores.servers);
  const vault = gateVault(gate, parts.vault);
  const access = gateAccess(gate, parts.access);
  const queue = gateQueue(gate, parts.messages);
  const localWrap = parts.vault;
  const [log, meter, random, rules] = [
    new CollectingLog(),
    new CollectingMeter(),
    makeSeededRandom(1),
    RULES,
  ];
  const proofs = makeTargetProofs({ vault, clock });
  const findWrapping = makeFindWrapping({ servers });
  const observe = makeObserveKek({ vault, localWrap, proofs, clock, findWrapping });
  const finishRotation = makeFinishRotation({ keks, servers, clock });
  const finishMove = () => Promise.reject(new Error('nothing moves here'));
  const fanOut = makeFanOut({ keks, servers, queue, finishRotation, finishMove, clock, log, rules });
  return {
    gate,
    reconcileKek: makeReconcileKek({ keks, queue, observe, fanOut, clock, log, meter, rules }),
    rewrapDeks: makeRewrapDeks({
      keks,
      servers,
      queue,
      vault,
      localWrap,
      proofs,
      finishRotation,
      clock,
      random,
      log,
      meter,
      rules,
    }),
    applyServerAccess: makeApplyServerAccess({
      keks,
      servers,
      index,
      queue,
      access,
      clock,
      log,
      meter,
      rules,
    }),
    probes: makeProbeKeks({ keks, vault, queue, clock, log, costOf: () => 0 }),
    sweepFleet: makeSweepFleet({ keks, queue, clock, meter, rules: SWEEP_RULES }),
  };
}

export function deliver(instance: Instance, payload: Message): Promise<void> {
  switch (payload.queue) {
    case 'timer':
      return payload.message === 'probe' ? instance.probes.probeAll() : instance.sweepFleet();
    case 'reconcile':
      return instance.reconcileKek(payload.message, new Date(payload.insertedAt));
    case 'rewrap':
      return instance.rewrapDeks(payload.message);
    case 'access':
      return instance.applyServerAccess(payload.message);
  }
}
