// Everything that can be looked at before a server is registered, all of it reported at once (design 9).
import { CmkError } from '../domain/errors.ts';
import type { KekId } from '../domain/key-id.ts';
import { isValid, type RegistrationCheck } from '../domain/registration-check.ts';
import type { AccessSpec } from '../domain/server-spec.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import { type CheckKeyDeps, makeCheckKey } from './check-key.ts';
import { makeCheckServer } from './check-server.ts';

export interface CheckRegistrationDeps extends CheckKeyDeps {
  readonly access: ServerAccess;
}

/**
 * The checks of the key, then those of the server; the two are made side by side, and change nothing. `version` null:
 * the one that a DEK would be wrapped under now.
 * @throws CmkError VaultUnavailable (retryable), StoreUnavailable: what couldn't be asked says nothing
 */
export type CheckRegistration = (
  kek: KekId,
  version: string | null,
  access: AccessSpec,
) => Promise<readonly RegistrationCheck[]>;

export function makeCheckRegistration(deps: CheckRegistrationDeps): CheckRegistration {
  const checkKey = makeCheckKey(deps);
  const checkServer = makeCheckServer(deps);
  return async (kek, version, access) => {
    const [key, server] = await Promise.all([checkKey(kek, version), checkServer(access)]);
    return [...key, ...server];
  };
}

/** @throws CmkError RegistrationRefused, with all of the checks in `detail.checks` */
export function assertValid(serverId: string, checks: readonly RegistrationCheck[]): void {
  if (isValid(checks)) return;
  const found = checks.filter(({ outcome }) => outcome === 'failed');
  const what = found.map(({ code, message }) => `${code}: ${message}`).join(' ');
  throw new CmkError('RegistrationRefused', `${serverId} can't be registered like that. ${what}`, {
    remedy: found.map(({ remedy }) => remedy).join(' '),
    detail: { checks },
  });
}
