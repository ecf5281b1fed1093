// What a registration is refused for before anything is asked of a vault or a server.
import { CmkError } from '../domain/errors.ts';
import { isSameKek, type KekId, keyUrl, parseKeyUrl } from '../domain/key-id.ts';
import { parseServerId, type ServerRow } from '../domain/server.ts';
import { isTokenSafe } from '../domain/server-spec.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import { assertMatches } from './if-match.ts';
import type { RegisterCommand } from './register-server.ts';

export interface Prepared {
  readonly kek: KekId;
  /** The version that the server is pinned to; null: none. */
  readonly pin: string | null;
  /** The row of a server that is registered already. */
  readonly stored: Stored<ServerRow> | undefined;
}

/**
 * Reads, and changes nothing.
 * @throws CmkError InvalidServer, InvalidKeyId, ServerIdTaken, RoleMissing, PreconditionFailed; for a server that is
 *   there also as {@link assertMayUpdate}
 */
export async function prepareRegistration(
  deps: { readonly servers: ServerStore; readonly index: ServerIndex },
  command: RegisterCommand,
): Promise<Prepared> {
  const serverId = parseServerId(command.serverId);
  const { kek, version: pin } = parseKeyUrl(command.keyId);
  const { wrappedDek, principalId = null } = command;
  if (Object.hasOwn(command.labels, '__proto__'))
    throw invalid('no label can be named __proto__', 'Choose another name for the label.');
  if (wrappedDek !== null) assertMayAssign(command);
  if (wrappedDek !== null && pin !== null && wrappedDek.kekVersion !== pin)
    throw invalid(
      `the wrapped DEK is under ${wrappedDek.kekVersion}, and the server would be pinned to ${pin}`,
      'Name the key without a version, or with that of the wrapped DEK.',
    );
  await assertFree(deps, serverId, kek);
  const stored = await deps.servers.read(kek, serverId);
  if (stored !== undefined) assertMayUpdate(stored, command);
  // If-Match is for a server that is there (RFC 9110, 13.1.1).
  else assertMatches('', command.ifMatch);
  if (stored === undefined && principalId !== null) assertMayAssign(command);
  return { kek, pin, stored };
}

/** The id is free, or its server is under this KEK. @throws CmkError ServerIdTaken */
export async function assertFree(
  { index }: { readonly index: ServerIndex },
  serverId: string,
  kek: KekId,
): Promise<void> {
  const owner = await index.find(serverId);
  if (owner === undefined || isSameKek(owner.value, kek)) return;
  throw new CmkError('ServerIdTaken', `${serverId} is registered under ${keyUrl(owner.value)}`, {
    remedy: 'Choose another id, or move the server to the other key.',
  });
}

/**
 * Whether the command may be carried out on the row as it is now.
 * @throws CmkError PreconditionFailed, ServerDeleted, ServerMoving (retryable), DekAlreadyMade, RoleMissing, InvalidServer
 */
export function assertMayUpdate({ value: row, etag }: Stored<ServerRow>, command: RegisterCommand): void {
  assertMatches(etag, command.ifMatch);
  const { serverId } = row;
  if (row.tombstone)
    throw new CmkError('ServerDeleted', `${serverId} was deleted`, {
      remedy: 'Choose another id, or purge the deleted server first: its DEK is lost with it.',
    });
  if (row.moving !== null || row.incoming)
    throw new CmkError('ServerMoving', `${serverId} is being moved to another key`, {
      remedy: 'Try again in a moment: the move ends by itself.',
      retryable: true,
    });
  const { wrappedDek } = command;
  if (wrappedDek !== null && wrappedDek.dekId !== row.wrapped.dekId) throw dekAlreadyMade(serverId);
  if (isPrincipalChange(row, command)) assertMayAssign(command);
  if (!isTokenSafe(command.access))
    throw invalid(
      'auth entra without tls verify-full would hand a token to any host',
      'Use tls verify-full with auth entra, or auth setting.',
    );
}

export const isPrincipalChange = (row: ServerRow, { principalId }: RegisterCommand): boolean =>
  principalId !== undefined && principalId !== row.principalId;

export const dekAlreadyMade = (serverId: string): CmkError =>
  new CmkError('DekAlreadyMade', `${serverId} has another DEK, which nothing replaces`, {
    remedy: "Leave wrappedDek out, or register the imported DEK's server under an id of its own.",
  });

function assertMayAssign({ mayAssign, serverId }: RegisterCommand): void {
  if (mayAssign) return;
  throw new CmkError('RoleMissing', `deciding who gets the DEK of ${serverId} takes the role Dek.Assign`, {
    remedy: 'Ask for the role Dek.Assign, or leave principalId and wrappedDek out.',
    detail: { role: 'Dek.Assign' },
  });
}

const invalid = (message: string, remedy: string): CmkError =>
  new CmkError('InvalidServer', message, { remedy });
