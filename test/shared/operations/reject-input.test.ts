import { describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { APP_CHAIN } from '../../../shared/operations/reject-input.ts';
import { makeWorld } from '../../fakes/world.ts';

const problem = new CmkError('InvalidEvent', 'no key id in it', {
  remedy: 'Look at the sender.',
  detail: { field: 'data.Id' },
});

describe('rejectInput', () => {
  test.each([
    ['e-1', 'e-1'],
    [null, 'unknown'],
  ])('writes down what it was, where it came to and why; id %s', async (id, recorded) => {
    const world = makeWorld();
    await world.app.rejectInput({ source: 'keyDisabled', id, problem });
    const [row] = await world.stores.outbox.pageOutbox(APP_CHAIN, false, 10);
    expect(JSON.parse(row?.auditBodies[0] ?? '')).toMatchObject({
      action: 'input.rejected',
      cause: { kind: 'event', id: recorded, type: 'keyDisabled' },
      reason: 'InvalidEvent',
      detail: { problem: 'no key id in it', field: 'data.Id' },
    });
    expect(world.log.lines).toMatchObject([
      { level: 'warn', fields: { source: 'keyDisabled', id, code: 'InvalidEvent' } },
    ]);
  });

  test('throws where it cannot be written, so that the sender sends it again', async () => {
    const world = makeWorld();
    world.stores.failNext('outbox.put', 'before');
    const rejected = world.app.rejectInput({ source: 'keyDisabled', id: null, problem });
    await expect(rejected).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });
});
