// Rotating and retiring: what would happen, and making it happen (design 9).
import * as z from 'zod';
import { keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import type { PlanRewrap } from '../../shared/operations/plan-rewrap.ts';
import type { ReadImpact } from '../../shared/operations/read-impact.ts';
import type { RetireVersion } from '../../shared/operations/retire-version.ts';
import type { StartRewrap } from '../../shared/operations/start-rewrap.ts';
import type { Cursors } from './cursor.ts';
import type { Handlers } from './route.ts';
import { toRotation } from './to-key.ts';
import { toInstant } from './to-server.ts';

export interface KeyOrderPorts {
  readonly readImpact: ReadImpact;
  readonly planRewrap: PlanRewrap;
  readonly startRewrap: StartRewrap;
  readonly retireVersion: RetireVersion;
  readonly cursors: Cursors;
}

export function makeKeyOrderHandlers(
  ports: KeyOrderPorts,
): Pick<Handlers, 'readImpact' | 'startRewrap' | 'retireVersion'> {
  const { cursors } = ports;
  return {
    readImpact: async ({ params, query }) => {
      const kek = parseKekId(params.vault, params.name);
      const scope = { listing: 'impact', filters: { ...query, ...kek } };
      const after = query.cursor === undefined ? null : cursors.open(scope, query.cursor, z.string());
      const { of, version = null, limit } = query;
      const { page, next, ...impact } = await ports.readImpact({ kek, of, version, after, limit });
      return {
        status: 200,
        body: {
          ...impact,
          keyId: keyUrl(kek, version ?? undefined),
          of,
          countedAt: impact.countedAt.toISOString(),
          firstLossAt: toInstant(impact.firstLossAt),
          sessionsOpen: page.reduce((sum, one) => sum + (one.sessionsOpen ?? 0), 0),
          page: page.map((one) => ({ ...one, at: toInstant(one.at) })),
          cursor: next === null ? null : cursors.seal(scope, next),
        },
      };
    },

    startRewrap: async ({ params, body: { dryRun }, caller }) => {
      const kek = parseKekId(params.vault, params.name);
      if (!dryRun) await ports.startRewrap({ kek, by: caller.principalId });
      const { rotation, cannotMove, ...plan } = await ports.planRewrap(kek);
      const body = {
        ...plan,
        dryRun,
        keyId: keyUrl(kek),
        cannotMove: cannotMove.map((one) => ({ ...one, examples: [...one.examples] })),
        rotation: toRotation(rotation),
      };
      return dryRun ? { status: 200, body } : { status: 202, body };
    },

    retireVersion: async ({ params, caller }) => {
      const kek = parseKekId(params.vault, params.name);
      const { version } = params;
      const keyId = keyUrl(kek, version);
      const retired = await ports.retireVersion({ kek, version, by: caller.principalId });
      return {
        status: 200,
        body: {
          ...retired,
          keyId,
          retiredAt: retired.retiredAt.toISOString(),
          next: `az keyvault key set-attributes --id ${keyId} --enabled false`,
        },
      };
    },
  };
}
