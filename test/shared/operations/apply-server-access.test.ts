import { describe, expect, test } from 'vitest';
import { CmkError, type ErrorCode } from '../../../shared/domain/errors.ts';
import type { KeyLossPolicy } from '../../../shared/domain/server-spec.ts';
import { KEK, makeWorld, RULES, type World } from '../../fakes/world.ts';

const begin = async (count = 1, policy: KeyLossPolicy = 'terminate') => {
  const world = makeWorld();
  const version = await world.begin(count, policy);
  const apply = async (change = {}) => world.app.applyServerAccess(await world.rangeOf(change));
  /** The verdict is on record; nothing has been done about it yet. */
  const lose = async () => {
    world.vault.update(KEK, version, { enabled: false });
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
    world.queue.clear();
  };
  const giveBack = async () => {
    world.vault.update(KEK, version, { enabled: true });
    for (let look = 0; look < 2; look += 1) {
      world.clock.advance(3);
      await world.app.reconcileKek({ kek: KEK, cause: { kind: 'followUp', of: 'test' } }, null);
    }
    world.queue.clear();
  };
  return { world, version, apply, lose, giveBack };
};
const hold = (world: World) => ({ by: 'anna', reason: 'test', since: world.clock.now(), until: null });
const down = (code: ErrorCode) => new CmkError(code, `${code}: no`, { remedy: 'none' });
const once = (world: World, act: () => Promise<void>, skip = 0) => {
  let calls = 0;
  world.stores.onBeforeCommit(async (operation) => {
    if (operation !== 'servers.commit') return;
    calls += 1;
    if (calls === skip + 1) await act();
  });
};

describe('applyServerAccess', () => {
  test('revokes and restores, says so on the row, in the audit and to the world', async () => {
    const { world, apply, lose, giveBack } = await begin(2);
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    expect([world.isOpen('s001'), world.isOpen('s002'), session.isOpen()]).toEqual([false, false, false]);
    expect(await world.row('s001')).toMatchObject({
      desired: 'revoked',
      desiredReason: 'KeyDisabled',
      applied: 'revoked',
      appliedAt: world.clock.now(),
      accessEpoch: 2,
      sessionsOpen: 0,
    });
    await giveBack();
    await apply();
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([true, true]);
    expect(await world.row('s001')).toMatchObject({
      applied: 'granted',
      desiredReason: null,
      accessEpoch: 3,
      // Nobody counted those that came back.
      sessionsOpen: null,
    });
    expect((await world.audited('server.accessDecided')).map(({ servers }) => servers)).toEqual([
      ['s001', 's002'],
      ['s001', 's002'],
    ]);
    const applied = (await world.audited('server.accessApplied')).filter(({ reason }) => reason !== null);
    expect(applied).toMatchObject([
      { servers: ['s001'], reason: 'KeyDisabled', detail: { applied: 'revoked', sessionsEnded: 1 } },
      { servers: ['s002'], reason: 'KeyDisabled', detail: { applied: 'revoked', sessionsEnded: 0 } },
    ]);
    expect(world.topic.idsOf('PgCmk.ServerInaccessible')).toEqual(['s001:2', 's002:2']);
    expect(world.topic.idsOf('PgCmk.ServerReady')).toEqual(['s001:1', 's002:1', 's001:3', 's002:3']);
  });

  test('the same message again orders nothing', async () => {
    const { world, apply, lose } = await begin(2);
    await lose();
    await apply();
    const orders = world.postgres.orders.length;
    const rows = await world.rows();
    await apply();
    expect(world.postgres.orders.length).toBe(orders);
    expect(await world.rows()).toEqual(rows);
  });

  test('a server with nothing but its DEK: the decision is the effect', async () => {
    const { world, apply, lose } = await begin(0);
    await world.register(1, { access: { kind: 'none' } });
    await world.settle();
    expect(await world.row('s001')).toMatchObject({ applied: 'granted' });
    const { target } = await world.kek();
    world.vault.update(KEK, target ?? '', { enabled: false });
    await lose().catch(() => undefined);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
    await apply();
    expect(await world.row('s001')).toMatchObject({ desired: 'revoked', applied: 'revoked' });
    await world.app.deliverOutbox();
    expect(world.topic.idsOf('PgCmk.ServerInaccessible')).toEqual(['s001:2']);
    expect(world.postgres.orders).toEqual([]);
  });

  test('a server whose key was never proven is left waiting', async () => {
    const { world, version, apply } = await begin(2);
    await world.changeVersion(version, { verdict: 'unproven' });
    await world.changeRow('s001', { applied: 'none' });
    await world.changeRow('s002', { applied: 'none', access: { kind: 'none' } });
    const orders = world.postgres.orders.length;
    await apply();
    for (const row of await world.rows())
      expect(row).toMatchObject({ applied: 'none', desired: 'granted', desiredReason: 'KeyNotProven' });
    expect(world.postgres.orders.length).toBe(orders);
  });

  test('tombstones and incoming servers are left alone', async () => {
    const { world, apply, lose } = await begin(2);
    await world.changeRow('s001', { tombstone: true });
    await world.changeRow('s002', { incoming: true });
    const before = await world.rows();
    await lose();
    await apply();
    expect(await world.rows()).toEqual(before);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([true, true]);
  });

  test('a hold revokes whatever the key says, also where the policy only alerts, and lifting it restores', async () => {
    const { world, apply } = await begin(1, 'alertOnly');
    await world.changeRow('s001', { hold: hold(world) });
    await apply();
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked', desiredReason: 'OperatorHold' });
    expect(world.isOpen('s001')).toBe(false);
    await world.changeRow('s001', { hold: null });
    await apply();
    expect(world.isOpen('s001')).toBe(true);
  });

  test('a KEK that is not held, and a server that vanishes, end it', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    await world.app.applyServerAccess({ ...(await world.rangeOf()), kek: { ...KEK, name: 'other' } });
    const { read } = world.stores.servers;
    world.stores.servers.read = () => Promise.resolve(undefined);
    await apply();
    world.stores.servers.read = read;
    expect(world.isOpen('s001')).toBe(true);
    expect((await world.row('s001')).desired).toBe('revoked');
  });

  test('a row that does not parse is held and the others go on; long ranges go page by page', async () => {
    const { world, apply, lose } = await begin(110);
    await lose();
    world.stores.spoilServer(KEK, 's002');
    await apply();
    const open = Array.from({ length: 110 }, (_, index) => `s${String(index + 1).padStart(3, '0')}`).filter(
      (id) => world.isOpen(id),
    );
    expect(open).toEqual(['s002']);
    expect(world.log.errors()).toEqual(['a server row does not parse: held']);
  });

  test('a message of an epoch that was fanned out anew is dropped', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    await apply({ epoch: (await world.kek()).epoch - 1 });
    expect(world.isOpen('s001')).toBe(true);
  });
});

describe('what happens when the key is lost', () => {
  test('terminate: new sessions are refused and the open ones end', async () => {
    const { world, apply, lose } = await begin(1, 'terminate');
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    expect([world.isOpen('s001'), session.isOpen()]).toEqual([false, false]);
    expect((await world.row('s001')).drainUntil).toBeNull();
  });

  test('drain: new sessions are refused at once; the open ones end when their time is up', async () => {
    const { world, apply, lose } = await begin(1, 'drain');
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    expect([world.isOpen('s001'), session.isOpen()]).toEqual([false, true]);
    const drainUntil = new Date(world.clock.now().getTime() + 300_000);
    expect(await world.row('s001')).toMatchObject({ drainUntil, applied: 'granted', sessionsOpen: 1 });
    world.clock.advance(299);
    await apply();
    expect(session.isOpen()).toBe(true);
    world.clock.advance(1);
    await apply();
    expect(session.isOpen()).toBe(false);
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked', sessionsOpen: 0 });
  });

  test('drain: sessions that no time was given to, because the policy came later, end at once', async () => {
    const { world, apply, lose } = await begin(1, 'denyNew');
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    expect(session.isOpen()).toBe(true);
    await world.changeRow('s001', { keyLossPolicy: 'drain', inspectedAt: null });
    await apply();
    expect(session.isOpen()).toBe(false);
  });

  test('drain: is over when the last session ends by itself, and the sweep sees to the rest', async () => {
    const { world, lose } = await begin(2, 'drain');
    const first = world.server('s001').openSession('app');
    const second = world.server('s002').openSession('app');
    await lose();
    await world.runFor(60);
    expect((await world.row('s001')).applied).toBe('granted');
    first.close();
    await world.runFor(120);
    expect((await world.row('s001')).applied).toBe('revoked');
    expect(second.isOpen()).toBe(true);
    await world.runFor(240);
    expect(second.isOpen()).toBe(false);
    expect((await world.row('s002')).applied).toBe('revoked');
  });

  test('drain: ends in time, without a sweep; one look is asked for, however often it is inspected', async () => {
    const { world, apply, lose } = await begin(1, 'drain');
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    world.clock.advance(RULES.inspection.revokedSeconds);
    await apply();
    expect(world.queue.waiting('server-access')).toHaveLength(1);
    await world.queue.drainFor(300 - RULES.inspection.revokedSeconds - 1);
    expect(session.isOpen()).toBe(true);
    await world.queue.drainFor(1);
    expect(session.isOpen()).toBe(false);
    expect((await world.row('s001')).applied).toBe('revoked');
  });

  test('drain: a week is more than a message waits', async () => {
    const { world, apply, lose } = await begin(0, 'drain');
    await world.register(1, { keyLossPolicy: 'drain', drainSeconds: 604_800 });
    await world.settle();
    world.server('s001').openSession('app');
    await lose();
    await apply();
    const [message] = world.queue.waiting('server-access');
    expect(Number(message?.visibleAt) - Number(message?.insertedAt)).toBe(6 * 86_400_000);
  });

  test('denyNew: new sessions are refused; the open ones stay, and are counted', async () => {
    const { world, apply, lose } = await begin(1, 'denyNew');
    const session = world.server('s001').openSession('app');
    await lose();
    await apply();
    expect([world.isOpen('s001'), session.isOpen()]).toEqual([false, true]);
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked', sessionsOpen: 1, drainUntil: null });
  });

  test('alertOnly: nothing is closed; the row says why it should be', async () => {
    const { world, apply, lose } = await begin(1, 'alertOnly');
    await lose();
    await apply();
    expect(world.isOpen('s001')).toBe(true);
    expect(await world.row('s001')).toMatchObject({
      desired: 'granted',
      applied: 'granted',
      desiredReason: 'KeyDisabled',
      accessEpoch: 1,
    });
    expect(await world.audited('server.accessDecided')).toMatchObject([
      { reason: 'KeyDisabled', detail: { desired: 'granted' } },
    ]);
  });
});

describe('one server fails', () => {
  test.each<[ErrorCode, string]>([
    ['ServerUnreachable', 'ServerUnreachable'],
    ['ServerTlsFailed', 'ServerTlsFailed'],
    ['ServerAuthFailed', 'ServerAuthFailed'],
    ['SecretSettingMissing', 'ServerAuthFailed'],
    ['ServerHostRefused', 'ServerAuthFailed'],
    ['ServerRightsMissing', 'ServerRightsMissing'],
    ['InvalidServer', 'AccessNotApplied'],
  ])('%s: the row says %s, the others are closed, and it is tried again', async (code, reason) => {
    const { world, apply, lose } = await begin(3);
    world.server('s002').failNext(down(code));
    await lose();
    await apply();
    expect([world.isOpen('s001'), world.isOpen('s002'), world.isOpen('s003')]).toEqual([false, true, false]);
    expect((await world.row('s002')).failure).toMatchObject({ reason, attempt: 1 });
    expect(await world.audited('server.accessFailed')).toMatchObject([{ servers: ['s002'], reason }]);
    await world.queue.drainFor(5);
    expect(world.isOpen('s002')).toBe(false);
    expect((await world.row('s002')).failure).toBeNull();
  });

  test('one with more databases than a record holds: the first are named, and all counted', async () => {
    const { world, lose, giveBack } = await begin(1);
    const names = Array.from({ length: 5000 }, (_, index) => `d${index}`);
    const { port } = world.postgres;
    const instance = world.startInstance({
      ...port,
      revoke: async (access, order) => ({ ...(await port.revoke(access, order)), closed: names }),
      restore: async (access, order) => ({ ...(await port.restore(access, order)), reopened: names }),
    });
    const last = async () => (await world.audited('server.accessApplied')).at(-1)?.detail;
    await lose();
    await instance.applyServerAccess(await world.rangeOf());
    const first = names.slice(0, 200);
    expect(await last()).toMatchObject({ applied: 'revoked', closed: first, closedCount: 5000 });
    await giveBack();
    await instance.applyServerAccess(await world.rangeOf());
    expect(await last()).toMatchObject({ applied: 'granted', reopened: first, reopenedCount: 5000 });
    expect((await world.row('s001')).failure).toBeNull();
  });

  test('an error that is none of ours is noted like any other', async () => {
    const { world, lose } = await begin(1);
    await lose();
    const broken = { ...world.postgres.port, revoke: () => Promise.reject(new Error('a fault of ours')) };
    await world.startInstance(broken).applyServerAccess(await world.rangeOf());
    expect((await world.row('s001')).failure).toMatchObject({
      reason: 'AccessNotApplied',
      message: 'Error: a fault of ours',
    });
  });

  test('is one chain of retries, 5 s doubling to 60, whatever else passes by; audited once', async () => {
    const { world, apply, lose } = await begin(1);
    world.server('s001').setReachable(false);
    await lose();
    world.queue.fate = () => 'duplicate';
    await apply();
    for (let passed = 0; passed < 300; passed += 5) {
      await apply();
      await world.queue.drainFor(5);
    }
    const retries = world.queue.sent.filter(
      ({ message }) => 'attempt' in message && message.attempt !== null,
    );
    expect(retries.map(({ insertedAt, visibleAt }) => (+visibleAt - +insertedAt) / 1000)).toEqual([
      5, 10, 20, 40, 60, 60, 60, 60,
    ]);
    expect(await world.audited('server.accessFailed')).toHaveLength(1);
  });

  test('I-08: a chain that was lost is taken up again by a range, a minute after it should have gone on', async () => {
    const { world, apply, lose } = await begin(1);
    world.server('s001').setReachable(false);
    await lose();
    await apply();
    world.queue.clear();
    world.server('s001').setReachable(true);
    world.clock.advance(65);
    await apply();
    expect((await world.row('s001')).failure?.attempt).toBe(1);
    world.clock.advance(1);
    await apply();
    expect(await world.row('s001')).toMatchObject({ failure: null, applied: 'revoked' });
  });

  test('a new decision starts anew: what failed to be revoked and may be open again is so at once', async () => {
    const { world, apply, lose, giveBack } = await begin(1);
    world.server('s001').setReachable(false);
    await lose();
    await apply();
    world.server('s001').setReachable(true);
    await giveBack();
    await apply();
    expect(await world.row('s001')).toMatchObject({ failure: null, applied: 'granted', desired: 'granted' });
    expect(world.isOpen('s001')).toBe(true);
  });

  test("sessions that can't be ended keep it Revoking", async () => {
    const { world, apply, lose } = await begin(1);
    const session = world.server('s001').openSession('app', { superuser: true });
    await lose();
    await apply();
    expect(await world.row('s001')).toMatchObject({
      applied: 'granted',
      sessionsOpen: 1,
      failure: { reason: 'SessionNotEndable', message: '1 sessions are left' },
    });
    session.close();
    await world.queue.drainFor(5);
    expect((await world.row('s001')).applied).toBe('revoked');
  });

  test('a replica waits for its primary, both ways', async () => {
    const { world, apply, lose, giveBack } = await begin(1);
    const replica = world.server('s001').addReplica();
    await world.app.registerServer(world.orderOf('replica', { access: replica.access }));
    await world.queue.drain();
    replica.holdBack();
    await lose();
    await apply();
    expect((await world.row('replica')).failure?.reason).toBe('ReplicaLagging');
    replica.catchUp();
    await world.queue.drainFor(5);
    expect((await world.row('replica')).applied).toBe('revoked');
    replica.holdBack();
    await giveBack();
    await apply();
    expect(await world.row('replica')).toMatchObject({
      applied: 'revoked',
      failure: { reason: 'ReplicaLagging', message: 'the flags have not arrived' },
    });
    replica.catchUp();
    await world.queue.drainFor(5);
    expect((await world.row('replica')).applied).toBe('granted');
  });
});

describe('drift', () => {
  test('what was opened or made on a revoked server is closed by the sweep', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    await apply();
    const server = world.server('s001');
    server.createDatabase('later');
    const session = server.openSession('later');
    world.clock.advance(RULES.inspection.revokedSeconds);
    await apply();
    expect([server.takesConnections('later'), session.isOpen()]).toEqual([false, false]);
    expect((await world.audited('server.accessApplied')).at(-1)).toMatchObject({
      detail: { applied: 'revoked', repaired: true, sessionsEnded: 1 },
    });
  });

  test('a restore that was left half done is finished, and said; a look that finds all well says nothing', async () => {
    const { world, apply } = await begin(1);
    const records = (await world.audited()).length;
    world.clock.advance(RULES.inspection.grantedSeconds);
    await apply();
    expect(await world.audited()).toHaveLength(records);
    // Somebody closes it with an order of the same epoch: what is on record on the server is older than the row.
    await world.changeRow('s001', { accessEpoch: 9 });
    const order = { serverId: 's001', epoch: 5, policy: 'terminate', endSessions: true } as const;
    await world.postgres.port.revoke(world.server('s001').access, order);
    world.clock.advance(RULES.inspection.grantedSeconds);
    await apply();
    expect(world.isOpen('s001')).toBe(true);
    expect((await world.audited()).at(-1)).toMatchObject({
      action: 'server.accessApplied',
      detail: { applied: 'granted', repaired: true },
    });
  });

  test('an inspection is not due again before its time', async () => {
    const { world, apply } = await begin(1);
    const orders = world.postgres.orders.length;
    world.clock.advance(RULES.inspection.grantedSeconds - 10);
    await apply();
    expect(world.postgres.orders.length).toBe(orders);
  });
});

describe('others at the same rows', () => {
  test('I-11: a worker that read the KEK before a revocation cannot grant', async () => {
    const { world, apply, lose, giveBack, version } = await begin(1);
    await lose();
    await apply();
    await giveBack();
    const other = world.startInstance();
    // This worker has seen the key usable again. Before it writes that, the key is lost once more, and applied.
    once(world, async () => {
      world.clock.advance(1);
      world.vault.update(KEK, version, { enabled: false });
      await other.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
      await world.changeRow('s001', { labels: { touched: 'yes' } });
      await other.applyServerAccess(await world.rangeOf());
    });
    await apply();
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.row('s001')).toMatchObject({ desired: 'revoked', desiredReason: 'KeyDisabled' });
  });

  test('I-05 I-11: nor can one that comes to the server late: the server has seen the newer order, and refuses', async () => {
    const { world, apply, lose, giveBack } = await begin(1);
    await lose();
    await apply();
    await giveBack();
    const frozen = world.postgres.freezeWorker();
    const late = world.startInstance(frozen.port).applyServerAccess(await world.rangeOf());
    await frozen.frozen;
    await lose();
    await apply();
    expect(world.isOpen('s001')).toBe(false);
    frozen.thaw();
    await late;
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.row('s001')).toMatchObject({ desired: 'revoked', applied: 'revoked' });
  });

  test('an effect that the row has moved on from is not recorded', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    const frozen = world.postgres.freezeWorker();
    const late = world.startInstance(frozen.port).applyServerAccess(await world.rangeOf());
    await frozen.frozen;
    const { accessEpoch } = await world.row('s001');
    await world.changeRow('s001', { accessEpoch: accessEpoch + 1 });
    frozen.thaw();
    await late;
    expect((await world.row('s001')).applied).toBe('granted');
    await apply();
    expect((await world.row('s001')).applied).toBe('revoked');
  });

  test('I-10: a decision that meets a changed row is made again, for that row by itself', async () => {
    const { world, apply, lose } = await begin(3);
    await lose();
    once(world, () => world.changeRow('s002', { labels: { team: 'blue' } }));
    await apply();
    expect((await world.rows()).map((row) => row.applied)).toEqual(['revoked', 'revoked', 'revoked']);
    expect((await world.row('s002')).labels).toEqual({ team: 'blue' });
  });

  test('I-10: a server that is gone when the decision is made again is passed over', async () => {
    const { world, apply, lose } = await begin(2);
    await lose();
    const { read } = world.stores.servers;
    once(world, async () => {
      await world.changeRow('s002', { labels: {} });
      world.stores.servers.read = (kek, id) => (id === 's002' ? Promise.resolve(undefined) : read(kek, id));
    });
    await apply();
    world.stores.servers.read = read;
    expect((await world.rows()).map((row) => row.desired)).toEqual(['revoked', 'granted']);
  });

  test('a store that fails while deciding ends the message', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    world.stores.failNext('servers.commit', 'before');
    await expect(apply()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('an answer that is lost after the order took effect: the message comes again, and it is recorded', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    once(world, () => Promise.resolve(world.stores.failNext('servers.commit', 'before')), 1);
    await expect(apply()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(world.isOpen('s001')).toBe(false);
    expect((await world.row('s001')).applied).toBe('granted');
    await apply();
    expect((await world.row('s001')).applied).toBe('revoked');
  });

  test('a server that was taken over by another worker between the page and the order is left to it', async () => {
    const { world, apply, lose } = await begin(1);
    await lose();
    const other = world.startInstance();
    once(world, async () => other.applyServerAccess(await world.rangeOf()));
    await apply();
    expect(world.postgres.orders.filter(({ kind }) => kind === 'revoke')).toHaveLength(1);
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked', accessEpoch: 2 });
  });
});

describe('a row that is behind its server', () => {
  test('a server that was registered anew takes up the numbering on record there', async () => {
    const { world, lose } = await begin(1);
    const { access } = world.server('s001');
    const order = { serverId: 's001', epoch: 41, policy: 'terminate', endSessions: true } as const;
    await world.postgres.port.revoke(access, order);
    world.clock.advance(RULES.inspection.grantedSeconds);
    await world.app.applyServerAccess(await world.rangeOf());
    expect((await world.row('s001')).accessEpoch).toBe(42);
    await world.queue.drain();
    // An inspection of a granted server isn't due again at once; the sweep comes to it.
    world.clock.advance(RULES.inspection.grantedSeconds);
    await world.app.applyServerAccess(await world.rangeOf());
    expect(world.isOpen('s001')).toBe(true);
    await lose();
    await world.app.applyServerAccess(await world.rangeOf());
    expect([world.isOpen('s001'), (await world.row('s001')).accessEpoch]).toEqual([false, 43]);
  });

  test('a server that always says that it has seen a newer order keeps no worker busy', async () => {
    const { world, lose } = await begin(1);
    await lose();
    let asked = 0;
    const app = world.startInstance({
      ...world.postgres.port,
      revoke: async (_, { epoch }) => {
        asked += 1;
        return { kind: 'overtaken', epoch };
      },
    });
    world.queue.handlers = { deliver: (one) => world.deliverTo(app, one), poison: async () => undefined };
    await app.applyServerAccess(await world.rangeOf());
    for (let second = 0; second < 10; second += 1) {
      await world.queue.drain();
      world.clock.advance(1);
    }
    expect(asked).toBeLessThanOrEqual(6);
  });

  test('an order that is merely late raises nothing', async () => {
    const { world, lose } = await begin(1);
    await lose();
    const frozen = world.postgres.freezeWorker();
    const late = world.startInstance(frozen.port).applyServerAccess(await world.rangeOf());
    await frozen.frozen;
    const order = { serverId: 's001', epoch: 7, policy: 'terminate', endSessions: true } as const;
    await world.postgres.port.revoke(world.server('s001').access, order);
    await world.changeRow('s001', { accessEpoch: 7 });
    frozen.thaw();
    await late;
    expect((await world.row('s001')).accessEpoch).toBe(7);
    expect(world.queue.waiting()).toEqual([]);
  });
});

describe('orders at a time', () => {
  test('all servers of a range are ordered at once: the last is denied when the first is', async () => {
    const { world, lose } = await begin(40);
    const gate = Promise.withResolvers<void>();
    let ordered = 0;
    const slow = world.startInstance({
      ...world.postgres.port,
      revoke: async (...order) => {
        ordered += 1;
        await gate.promise;
        return world.postgres.port.revoke(...order);
      },
    });
    await lose();
    const running = slow.applyServerAccess(await world.rangeOf());
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ordered).toBe(40);
    gate.resolve();
    await running;
    expect((await world.rows()).every(({ applied }) => applied === 'revoked')).toBe(true);
  });
});
