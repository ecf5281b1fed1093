// Servers: listing, reading, registering, deleting (design 9).
import * as z from 'zod';
import { type KekId, keyUrl, parseKekId, parseKeyUrl } from '../../shared/domain/key-id.ts';
import type { DeleteServer } from '../../shared/operations/delete-server.ts';
import type { ListServers, ReadServer } from '../../shared/operations/list-servers.ts';
import type { RegisterServer, ValidateRegistration } from '../../shared/operations/register-server.ts';
import type { Cursors } from './cursor.ts';
import type { Handlers } from './route.ts';
import { toRegisteredServer, toServer } from './to-server.ts';

export interface ServerPorts {
  readonly listServers: ListServers;
  readonly readServer: ReadServer;
  readonly registerServer: RegisterServer;
  readonly validateRegistration: ValidateRegistration;
  readonly deleteServer: DeleteServer;
  readonly cursors: Cursors;
}

/** A KEK inside a cursor. */
export const KekOfCursor = z
  .object({ vault: z.string(), name: z.string() })
  .transform(({ vault, name }): KekId => parseKekId(vault, name));

const Position = z.object({ kek: KekOfCursor, after: z.string().nullable() });

export function makeServerHandlers(
  ports: ServerPorts,
): Pick<Handlers, 'listServers' | 'readServer' | 'registerServer' | 'deleteServer'> {
  const { cursors } = ports;
  return {
    listServers: async ({ query }) => {
      const scope = { listing: 'servers', filters: query };
      const { servers, held, next } = await ports.listServers({
        kek: query.key === undefined ? null : parseKeyUrl(query.key).kek,
        state: query.state ?? null,
        version: query.version ?? null,
        from: query.cursor === undefined ? null : cursors.open(scope, query.cursor, Position),
        limit: query.limit,
      });
      return {
        status: 200,
        body: {
          servers: servers.map(({ stored, view }) => toServer(stored.value, view)),
          held: held.map(({ rowKey, problem }) => ({ serverId: rowKey.replace(/^s:/, ''), problem })),
          cursor: next === null ? null : cursors.seal(scope, next),
        },
      };
    },

    readServer: async ({ params }) => {
      const { stored, view } = await ports.readServer(params.serverId);
      return { status: 200, body: toServer(stored.value, view), etag: stored.etag };
    },

    registerServer: async ({ params: { serverId }, query, body, caller, ifMatch }) => {
      const command = {
        ...body,
        serverId,
        principalId: body.principalId,
        wrappedDek: body.wrappedDek ?? null,
        by: caller.principalId,
        mayAssign: caller.roles.includes('Dek.Assign'),
        ifMatch,
      };
      if (query.validateOnly === 'true') {
        const checks = await ports.validateRegistration(command);
        const valid = !checks.some(({ outcome }) => outcome === 'failed');
        return { status: 200, body: { valid, checks: [...checks] } };
      }
      const { created } = await ports.registerServer(command);
      const { stored, view } = await ports.readServer(serverId);
      const answer = { body: toRegisteredServer(stored.value, view), etag: stored.etag };
      return created
        ? { status: 201, ...answer, location: `servers/${serverId}` }
        : { status: 200, ...answer };
    },

    deleteServer: async ({ params: { serverId }, query, caller, ifMatch }) => {
      const { outcome, kek, staysClosed } = await ports.deleteServer({
        serverId,
        force: query.force === 'true',
        purge: query.purge === 'dek',
        by: caller.principalId,
        mayAssign: caller.roles.includes('Dek.Assign'),
        ifMatch,
      });
      const closed = staysClosed === null ? null : [...staysClosed];
      return { status: 200, body: { serverId, outcome, keyId: keyUrl(kek), staysClosed: closed } };
    },
  };
}
