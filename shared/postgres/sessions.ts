// Sessions in the databases that a revoke closes, and their end. By the session's database, never by backend_type,
// which a role without pg_read_all_stats sees as NULL. Backends of no database (physical walsenders, background
// processes) and of no user (autovacuum, which no client can speak through) are left alone.
import { type Client, DatabaseError } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { AccessRecord } from './schema.ts';

export interface Session {
  readonly pid: number;
  /** False for a superuser's session while the app is none, and for any other's without pg_signal_backend. */
  readonly endable: boolean;
  /** Whether its database takes no new ones. */
  readonly closed: boolean;
}

const SESSIONS = `
  SELECT s.pid, me.rolsuper OR (NOT coalesce(u.rolsuper, false) AND (
      pg_has_role('pg_signal_backend', 'USAGE') OR (u.oid IS NOT NULL AND pg_has_role(u.oid, 'USAGE')))) AS endable,
    NOT coalesce(d.datallowconn, false) AS closed
    FROM pg_stat_activity AS s
    LEFT JOIN pg_database AS d ON d.oid = s.datid
    JOIN pg_roles AS me ON me.rolname = current_user
    LEFT JOIN pg_roles AS u ON u.oid = s.usesysid
    WHERE s.datid IS NOT NULL AND s.usesysid IS NOT NULL AND s.pid <> pg_backend_pid()
      AND coalesce(d.datname <> current_database() AND d.datname::text <> ALL ($1::text[]), true)`;

export async function listSessions(client: Client, access: PostgresAccess): Promise<readonly Session[]> {
  const { rows } = await client.query<Session>(SESSIONS, [access.excludeDatabases]);
  return rows;
}

/**
 * Tells the endable sessions to end, unless the server's record is no longer `record`; returns the pids that were told.
 * Invariant I-05: a worker that was overtaken by a restore ends nobody's session.
 */
export async function signalSessions(
  client: Client,
  access: PostgresAccess,
  record: AccessRecord,
): Promise<readonly number[]> {
  // Materialized: pg_terminate_backend must see only what the conditions left, and a plan may put them in any order.
  const signal = async (pid?: number) => {
    const { rows } = await client.query<{ pid: number; told: boolean }>(
      `WITH found AS MATERIALIZED (${SESSIONS}), chosen AS MATERIALIZED (
          SELECT pid FROM found WHERE endable AND pid = coalesce($2, pid)
            AND EXISTS (SELECT FROM pgcmk.access WHERE epoch = $3 AND desired = $4))
        SELECT pid, pg_terminate_backend(pid) AS told FROM chosen`,
      [access.excludeDatabases, pid ?? null, record.epoch, record.desired],
    );
    return rows.filter((row) => row.told).map((row) => row.pid);
  };
  try {
    return await signal();
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
  // One that may not be ended after all (managed services guard their own) mustn't protect the others.
  const told: number[] = [];
  for (const { pid } of await listSessions(client, access)) {
    const one = await signal(pid).catch((error: unknown) => {
      if (isRefused(error)) return [];
      throw error;
    });
    told.push(...one);
  }
  return told;
}

function isRefused(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '42501';
}
