// Where the caller's token comes from: given, in a file, or from an Entra identity. It is never printed.
import { readFile } from 'node:fs/promises';
import { cliError } from './cli-error.ts';
import type { CliIo } from './io.ts';

/** Asked before each request: a file may be written anew, and a credential renews what it gives. */
export type TokenSource = () => Promise<string>;

/** @throws CliError ConfigMissing; the source itself ConfigWrong, FileUnusable, TokenUnavailable */
export function makeTokenSource({ env, loadCredential }: Pick<CliIo, 'env' | 'loadCredential'>): TokenSource {
  const { PG_CMK_TOKEN: token, PG_CMK_TOKEN_FILE: file, PG_CMK_SCOPE: scope } = env;
  if (isGiven(token)) return async () => checked(token, 'PG_CMK_TOKEN');
  if (isGiven(file)) return async () => checked(await readTokenFile(file), file);
  if (isGiven(scope)) {
    let loading: ReturnType<typeof loadCredential> | undefined;
    return async () => {
      loading ??= loadCredential();
      return askIdentity(loading, scope);
    };
  }
  throw cliError(
    'ConfigMissing',
    'there is no token to show to the app',
    'Set PG_CMK_SCOPE to the scope of the API (api://…/.default) to use your Entra identity (az login, a managed identity), or PG_CMK_TOKEN_FILE or PG_CMK_TOKEN.',
  );
}

const isGiven = (value: string | undefined): value is string => value !== undefined && value.trim() !== '';

function checked(text: string, where: string): string {
  const token = text.trim();
  // The text itself is never repeated: it may be somebody's secret.
  if (/^[\w.~+/=-]+$/.test(token)) return token;
  throw cliError(
    'ConfigWrong',
    `what ${where} holds is no bearer token`,
    'Give the token alone, without "Bearer".',
  );
}

async function readTokenFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw cliError('FileUnusable', `the token file ${file} can't be read`, 'Check PG_CMK_TOKEN_FILE.', error);
  }
}

async function askIdentity(loading: ReturnType<CliIo['loadCredential']>, scope: string): Promise<string> {
  try {
    const answer = await (await loading).getToken(scope);
    if (answer !== null) return answer.token;
  } catch (error) {
    throw noToken(scope, error);
  }
  throw noToken(scope, undefined);
}

const noToken = (scope: string, cause: unknown) =>
  cliError(
    'TokenUnavailable',
    `no Entra identity gives a token for ${scope}`,
    'Run `az login`, or check the managed identity and PG_CMK_SCOPE.',
    cause,
  );
