import { describe, expect, test } from 'vitest';
import { NO_SERVERS } from '../../../shared/domain/decide-wave.ts';
import { DEFAULT_POLICY, type KekState, makeKekState } from '../../../shared/domain/kek.ts';
import { turnWave } from '../../../shared/operations/turn-wave.ts';
import { KEK } from '../../fakes/world.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const SWEEP = { kind: 'sweep' } as const;
const TARGET = '2'.repeat(32);
const running = (change: Partial<KekState> = {}): KekState => ({
  ...makeKekState(KEK),
  epoch: 7,
  target: TARGET,
  policy: { ...DEFAULT_POLICY, waveServers: 2, haltAfterFailures: 3 },
  rotation: {
    state: 'running',
    startedAt: NOW,
    resumedAt: null,
    wave: { number: 0, upTo: '', openedAt: NOW },
  },
  ...change,
});

describe('turnWave', () => {
  test('does nothing where nothing follows', () => {
    expect(turnWave(running(), NO_SERVERS, SWEEP, NOW)).toBeNull();
  });

  test('writes down which wave was opened, under the epoch that it is fanned out with', () => {
    const turn = turnWave(running(), { ...NO_SERVERS, later: 5, upTo: 'b' }, SWEEP, NOW);
    const wave = { number: 1, upTo: 'b', openedAt: NOW };
    expect(turn?.kek).toMatchObject({ epoch: 8, rotation: { state: 'running', wave } });
    expect(turn?.outbox).toEqual({
      audit: [
        {
          at: NOW,
          action: 'kek.rotation',
          cause: SWEEP,
          servers: [],
          versionBefore: null,
          versionAfter: TARGET,
          reason: 'wave',
          detail: { epoch: 8, wave },
        },
      ],
      events: [],
    });
  });

  test('tells the world of a halt, by the target where there is one', () => {
    const count = { ...NO_SERVERS, failures: 4 };
    const subjectOf = (kek: KekState) => turnWave(kek, count, SWEEP, NOW)?.outbox.events[0]?.subject;
    const url = `https://${KEK.vault}/keys/${KEK.name}`;
    expect(subjectOf(running())).toBe(`${url}/${TARGET}`);
    expect(subjectOf(running({ target: null }))).toBe(url);
    expect(turnWave(running(), count, SWEEP, NOW)).toMatchObject({
      kek: { epoch: 7, rotation: { state: 'halted', since: NOW, failures: 4 } },
      outbox: {
        audit: [{ reason: 'halted', detail: { epoch: 7, failures: 4 } }],
        events: [{ type: 'PgCmk.RotationBlocked', data: { reason: 'halted', target: TARGET, failures: 4 } }],
      },
    });
  });
});
