// ServerAccess on a real PostgreSQL server, 14 or later, of any kind: self-managed or managed. (The only importer of
// `pg` is this folder.)
import type { ServerAccess } from '../ports/server-access.ts';
import { withConnection } from './connect.ts';
import { inspect } from './inspect.ts';
import { isReplica } from './replica.ts';
import { restoreOnPrimary, restoreOnReplica } from './restore.ts';
import { revokeOnPrimary, revokeOnReplica } from './revoke.ts';
import { completeSettings, type PostgresSettings } from './settings.ts';

export function makePostgresAccess(settings: PostgresSettings): ServerAccess {
  const complete = completeSettings(settings);
  return {
    revoke: (access, order) =>
      withConnection(complete, access, async (client) =>
        (await isReplica(client))
          ? revokeOnReplica(client, access, order, complete)
          : revokeOnPrimary(client, access, order, complete),
      ),
    restore: (access, order) =>
      withConnection(complete, access, async (client) =>
        (await isReplica(client))
          ? restoreOnReplica(client, complete)
          : restoreOnPrimary(client, access, order),
      ),
    inspect: (access) => withConnection(complete, access, (client) => inspect(client, access)),
  };
}
