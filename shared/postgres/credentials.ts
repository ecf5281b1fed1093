// What the app logs in with, and where that may go: whoever registers a server chooses its host and the name of the
// setting, and must not have the fleet's passwords or the app's token sent to a host of his own.
import { CmkError, describeError } from '../domain/errors.ts';
import { isAmongHosts, type PostgresAccess } from '../domain/server-spec.ts';
import type { Credentials } from './settings.ts';

export interface Password {
  readonly text: string;
  /**
   * Whether the host may have it in the clear. Else only SCRAM proves to it that the app knows it (RFC 5802), bound to
   * the TLS channel where the server can: neither cleartext nor MD5, from which it could be had or guessed.
   */
  readonly mayBeSent: boolean;
}

/** @throws CmkError ServerHostRefused, SecretSettingMissing, ServerAuthFailed (retryable: no token for a moment) */
export async function readPassword(credentials: Credentials, access: PostgresAccess): Promise<Password> {
  const { host, auth } = access;
  if (auth.kind === 'entra') {
    // It is good at every server of the fleet: a certificate of its own doesn't make a stranger one of them.
    if (!isAmongHosts(host, credentials.tokenSuffixes)) {
      throw hostRefused(
        `The app's Entra token does not go to ${host}`,
        'Use auth setting, or add the domain of the server to PGCMK_POSTGRES_TOKEN_SUFFIXES.',
      );
    }
    return { text: await readToken(credentials, host), mayBeSent: true };
  }
  const hosts = splitHosts(credentials.readSecretHosts(auth.name));
  if (hosts !== null && !isAmongHosts(host, hosts)) {
    throw hostRefused(
      `The password in "${auth.name}" is not for ${host}`,
      `Register the server with its own password, or add its host to the app setting "${auth.name}_HOSTS".`,
    );
  }
  return { text: readSetting(credentials, auth.name), mayBeSent: hosts !== null };
}

async function readToken({ getEntraToken }: Credentials, host: string): Promise<string> {
  return getEntraToken().catch((error: unknown) => {
    if (error instanceof CmkError) throw error;
    throw new CmkError('ServerAuthFailed', `No Entra token for ${host}: ${describeError(error)}`, {
      remedy: "Check the app's managed identity.",
      retryable: true,
      cause: error,
    });
  });
}

function readSetting({ readSecretSetting }: Credentials, name: string): string {
  const password = readSecretSetting(name);
  if (password !== undefined && password !== '') return password;
  throw new CmkError('SecretSettingMissing', `There is no app setting "${name}".`, {
    remedy: `Add the app setting "${name}", a Key Vault reference to the password, or register the server with another one.`,
    detail: { setting: name },
  });
}

/** Blank counts as not given, as with every setting. */
function splitHosts(list: string | undefined): readonly string[] | null {
  const hosts = (list ?? '').split(',').map((one) => one.trim().toLowerCase());
  const named = hosts.filter((one) => one !== '');
  return named.length === 0 ? null : named;
}

const hostRefused = (message: string, remedy: string) =>
  new CmkError('ServerHostRefused', message, { remedy });
