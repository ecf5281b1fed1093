// What a command is given: the outside, the API, and how its answer is to be shown.

import { cliError } from './cli-error.ts';
import { type ApiClient, makeApiClient } from './client.ts';
import type { CliIo } from './io.ts';
import { makeTokenSource } from './token.ts';

/** Options of every command, before or after its name. */
export interface GlobalOptions {
  readonly url?: string;
  readonly output: 'table' | 'json';
  readonly yes?: boolean;
}

export interface CliContext {
  readonly io: CliIo;
  /** Of this command line; to be read only within an action. */
  readonly options: () => GlobalOptions;
  /** @throws CliError ConfigMissing, ConfigWrong */
  readonly api: () => ApiClient;
  /** The exit code of a command that came to its end and found something. */
  readonly findings: { exitCode: number };
}

export function makeContext(io: CliIo, options: () => GlobalOptions): CliContext {
  return {
    io,
    options,
    api: () => {
      const url = options().url ?? io.env['PG_CMK_URL'];
      if (url === undefined || url.trim() === '') {
        throw cliError(
          'ConfigMissing',
          'no URL of the app is given',
          'Set PG_CMK_URL, or give --url: https://{app}.azurewebsites.net',
        );
      }
      return makeApiClient({ url: url.trim(), token: () => makeTokenSource(io), io });
    },
    findings: { exitCode: 0 },
  };
}
