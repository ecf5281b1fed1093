// What the command line ends with when it can't do what it was asked.
import { EXIT, type ExitCode } from './exit-codes.ts';

/** Codes of the command line's own; those of the API are in shared/domain/errors.ts. */
export type CliCode =
  | 'UsageWrong' // arguments or options
  | 'ConfigMissing' // no URL, or no way to a token
  | 'ConfigWrong' // one that can't be used
  | 'FileUnusable' // a file that can't be read, written or understood
  | 'OutputLost' // whoever was to read the key is gone
  | 'NotConfirmed' // nothing was changed
  | 'TokenUnavailable' // the identity gave no token
  | 'AppUnreachable' // no answer came
  | 'AnswerNotUnderstood' // an answer that no pg-cmk of this version gives
  | 'Unexpected';

const EXIT_CODES: Readonly<Record<CliCode, ExitCode>> = {
  UsageWrong: EXIT.usage,
  ConfigMissing: EXIT.usage,
  ConfigWrong: EXIT.usage,
  FileUnusable: EXIT.usage,
  OutputLost: EXIT.unexpected,
  NotConfirmed: EXIT.usage,
  TokenUnavailable: EXIT.unavailable,
  AppUnreachable: EXIT.unavailable,
  AnswerNotUnderstood: EXIT.unexpected,
  Unexpected: EXIT.unexpected,
};

/** An end with a reason: one line what, one line what to do, a code, and the exit code. Holds no token and no DEK. */
export class CliError extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly exitCode: ExitCode;

  constructor(
    code: string,
    message: string,
    options: { readonly remedy: string; readonly exitCode: ExitCode; readonly cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CliError';
    this.code = code;
    this.remedy = options.remedy;
    this.exitCode = options.exitCode;
  }
}

export const cliError = (code: CliCode, message: string, remedy: string, cause?: unknown): CliError =>
  new CliError(code, message, { remedy, exitCode: EXIT_CODES[code], cause });
