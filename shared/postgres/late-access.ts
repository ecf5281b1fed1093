// PostgreSQL's adapter, loaded by the first order: an instance that takes none never reads it.
import { loadOnce } from '../load-once.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import type { PostgresSettings } from './settings.ts';

export function makeLateAccess(settings: PostgresSettings): ServerAccess {
  const load = loadOnce(async () => (await import('./postgres-access.ts')).makePostgresAccess(settings));
  return {
    revoke: async (...order) => (await load()).revoke(...order),
    restore: async (...order) => (await load()).restore(...order),
    inspect: async (...order) => (await load()).inspect(...order),
  };
}
