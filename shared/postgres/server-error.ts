// What went wrong between the app and a PostgreSQL server, as a CmkError. SQLSTATEs: PostgreSQL's manual, appendix A.
// Neither pg nor PostgreSQL puts a password into an error, and nothing is added here that could hold one.
import { DatabaseError } from 'pg';
import { CmkError, describeError } from '../domain/errors.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';

const CERTIFICATE_REFUSED =
  /^(CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|EPROTO)/;

/** Why no session came about. */
export function fromConnectError(error: unknown, access: PostgresAccess): CmkError {
  const where = `${access.host}:${access.port}`;
  const state = error instanceof DatabaseError ? (error.code ?? '') : '';
  if (state.startsWith('28')) return authFailed(where, access, error);
  if (state === '42501') {
    return rightsMissing([
      `"${access.user}" may not connect: GRANT CONNECT ON DATABASE "${access.maintenanceDatabase}" TO "${access.user}"`,
    ]);
  }
  if (error instanceof DatabaseError) return unreachable(where, error, remedyFor(state, access));
  const message = error instanceof Error ? error.message : '';
  if (message.startsWith('SASL:')) return authFailed(where, access, error);
  if (CERTIFICATE_REFUSED.test(codeOf(error)) || /\bSSL connection/.test(message)) {
    return new CmkError('ServerTlsFailed', `The TLS connection to ${where} failed: ${describeError(error)}`, {
      remedy: `Give the server a certificate for "${access.host}" from an authority that the app trusts, or choose another TLS mode for it.`,
      cause: error,
    });
  }
  return unreachable(
    where,
    error,
    'Check that the server runs and that the app may reach its host and port.',
  );
}

/** Why an order wasn't carried out. What is neither PostgreSQL's answer nor the connection's end is returned as it is. */
export function fromQueryError(error: unknown, access: PostgresAccess): unknown {
  if (error instanceof CmkError || error instanceof TypeError || error instanceof RangeError) return error;
  if (error instanceof DatabaseError && error.code === '42501') return rightsMissing([error.message], error);
  return unreachable(
    `${access.host}:${access.port}`,
    error,
    'The order is tried again. If it keeps failing, look into the server log.',
  );
}

export function rightsMissing(missingRights: readonly string[], cause?: unknown): CmkError {
  return new CmkError('ServerRightsMissing', `The app's role lacks rights: ${missingRights.join('; ')}`, {
    remedy: 'Grant what is listed, or list the database in excludeDatabases.',
    detail: { missingRights },
    cause,
  });
}

function authFailed(where: string, access: PostgresAccess, cause: unknown): CmkError {
  const remedy =
    access.auth.kind === 'entra'
      ? `Make "${access.user}" an Entra principal of the server, and the app's identity that principal.`
      : `Check the password in the app setting "${access.auth.name}", and pg_hba.conf.`;
  return new CmkError(
    'ServerAuthFailed',
    `${where} refused the login of "${access.user}": ${describeError(cause)}`,
    {
      remedy,
      cause,
    },
  );
}

/** Whatever may pass by itself: the network, a restart, a lock, a concurrent ALTER DATABASE, a failover. */
function unreachable(where: string, cause: unknown, remedy: string): CmkError {
  return new CmkError('ServerUnreachable', `${where}: ${describeError(cause)}`, {
    remedy,
    retryable: true,
    cause,
  });
}

function remedyFor(state: string, access: PostgresAccess): string {
  switch (state) {
    case '3D000':
      return `Create the maintenance database "${access.maintenanceDatabase}".`;
    case '55000':
      return `The maintenance database takes no connections: ALTER DATABASE "${access.maintenanceDatabase}" ALLOW_CONNECTIONS true.`;
    case '53300':
      return `All connections are taken: GRANT pg_use_reserved_connections TO "${access.user}", and set reserved_connections (PostgreSQL 16).`;
    default:
      return 'The server answers but takes no session now. The order is tried again.';
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
