// The demo's story, played through the real triggers on the local stack.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { playStory } from '../../local/demo/play.ts';
import type { DemoReport } from '../../local/demo/report.ts';
import { type StartedWorld, startWorld } from '../../local/demo/start-world.ts';

describe('the story of the demo', () => {
  let world: StartedWorld;
  let report: DemoReport;

  beforeAll(async () => {
    world = await startWorld({
      servers: 6,
      times: { probeSeconds: 2, sweepSeconds: 5, confirmSuspectSeconds: 6 },
      onHostLog: () => undefined,
    });
    report = await playStory(world, () => undefined);
  }, 240_000);
  afterAll(() => world?.stop());

  test('every step of it holds', () => {
    const failed = report.steps.filter((step) => !step.held);
    expect(failed).toEqual([]);
    expect(report.steps).toHaveLength(14);
  });
});
