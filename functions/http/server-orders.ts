// Orders to one server: look at it now, hold it, lift the hold, drill it, move it, copy it (design 9).
import type { CopyServer } from '../../shared/operations/copy-server.ts';
import type { DrillServer } from '../../shared/operations/drill-server.ts';
import type { HoldServer } from '../../shared/operations/hold-server.ts';
import type { ReadServer } from '../../shared/operations/list-servers.ts';
import type { MoveServer } from '../../shared/operations/move-server.ts';
import type { RevalidateServer } from '../../shared/operations/revalidate-server.ts';
import type { Handlers } from './route.ts';
import { toRegisteredServer, toServer } from './to-server.ts';

export interface ServerOrderPorts {
  readonly readServer: ReadServer;
  readonly revalidateServer: RevalidateServer;
  readonly holdServer: HoldServer;
  readonly drillServer: DrillServer;
  readonly moveServer: MoveServer;
  readonly copyServer: CopyServer;
}

export function makeServerOrderHandlers(
  ports: ServerOrderPorts,
): Pick<
  Handlers,
  'revalidateServer' | 'revokeServer' | 'restoreServer' | 'drillServer' | 'moveServer' | 'copyServer'
> {
  /** As it is once the order was taken: what came in between is told too. */
  const answerWith = async (serverId: string) => {
    const { stored, view } = await ports.readServer(serverId);
    return { status: 200, body: toServer(stored.value, view), etag: stored.etag } as const;
  };
  return {
    revalidateServer: async ({ params: { serverId }, caller }) => {
      await ports.revalidateServer({ serverId, by: caller.principalId });
      return answerWith(serverId);
    },

    revokeServer: async ({ params: { serverId }, body: { reason }, caller, ifMatch }) => {
      await ports.holdServer({ serverId, reason, by: caller.principalId, ifMatch });
      return answerWith(serverId);
    },

    restoreServer: async ({ params: { serverId }, caller, ifMatch }) => {
      await ports.holdServer({ serverId, reason: null, by: caller.principalId, ifMatch });
      return answerWith(serverId);
    },

    drillServer: async ({ params: { serverId }, caller }) => {
      const result = await ports.drillServer({ serverId, by: caller.principalId });
      return {
        status: 200,
        body: {
          ...result,
          serverId,
          startedAt: result.startedAt.toISOString(),
          closed: [...result.closed],
          reopened: [...result.reopened],
        },
      };
    },

    moveServer: async ({ params: { serverId }, body: { keyId }, caller, ifMatch }) => {
      await ports.moveServer({ serverId, keyId, by: caller.principalId, ifMatch });
      return answerWith(serverId);
    },

    copyServer: async ({ params, body, caller }) => {
      const { serverId, keyId = null, keyLossPolicy = null, ...rest } = body;
      const { created } = await ports.copyServer({
        ...rest,
        serverId,
        keyId,
        keyLossPolicy,
        sourceId: params.serverId,
        by: caller.principalId,
      });
      const { stored, view } = await ports.readServer(serverId);
      const answer = { body: toRegisteredServer(stored.value, view), etag: stored.etag };
      return created
        ? { status: 201, ...answer, location: `servers/${serverId}` }
        : { status: 200, ...answer };
    },
  };
}
