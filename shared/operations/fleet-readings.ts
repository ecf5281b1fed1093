// What the gauges show: of the keys' rows, which the sweep reads anyway, and of what they keep of their servers.
import { NOBODY, sumStates } from '../domain/count-versions.ts';
import type { KekSnapshot, Rotation } from '../domain/kek.ts';
import { keyUrl } from '../domain/key-id.ts';
import { SERVER_STATES } from '../domain/server.ts';
import type { Reading } from '../ports/telemetry.ts';

export interface FleetReadings {
  add(snapshot: KekSnapshot): void;
  all(): readonly Reading[];
}

export function makeFleetReadings(now: Date): FleetReadings {
  // All states, those of nobody too: what a gauge doesn't say is taken to be as it last was.
  const servers = { ...NOBODY };
  const readings: Reading[] = [];
  const secondsSince = (time: Date) => (now.getTime() - time.getTime()) / 1000;

  return {
    add: (snapshot) => {
      const { kek: one, versions } = snapshot;
      const counted = sumStates(snapshot);
      for (const state of SERVER_STATES) servers[state] += counted[state];
      const kek = keyUrl(one.kek);
      for (const { version, status, reason, attributes } of versions.filter(({ inUse }) => inUse)) {
        const attributesOf = { kek, version, status, reason: reason ?? 'none' };
        readings.push({ gauge: 'pgcmk.kek.status', value: 1, attributes: attributesOf });
        const expiresOn = attributes?.expiresOn ?? null;
        if (expiresOn !== null)
          readings.push({
            gauge: 'pgcmk.kek.expiry',
            value: -secondsSince(expiresOn),
            attributes: { kek, version },
          });
      }
      const began = beganAt(one.rotation);
      if (began !== null)
        readings.push({
          gauge: 'pgcmk.rotation.age',
          value: secondsSince(began),
          attributes: { kek, state: one.rotation.state },
        });
    },
    all: () => [
      ...SERVER_STATES.map(
        (state): Reading => ({ gauge: 'pgcmk.servers', value: servers[state], attributes: { state } }),
      ),
      ...readings,
    ],
  };
}

/** Of a rotation that isn't finished. */
function beganAt(rotation: Rotation): Date | null {
  switch (rotation.state) {
    case 'running':
    case 'halted':
      return rotation.startedAt;
    case 'blocked':
      return rotation.since;
    case 'idle':
    case 'completed':
      return null;
  }
}
