// pg-cmk servers register: what is left out stays as it is, for a server that is there.
import { type Command, Option } from 'commander';
import { KeyLossPolicy, RegisteredServer, Server, Validation } from '../../shared/api/servers.ts';
import { keyUrl } from '../../shared/domain/key-id.ts';
import { parseAnswer } from '../answers.ts';
import { label, parseKey, serverPath, toKeyUrl, whole } from '../arguments.ts';
import { cliError } from '../cli-error.ts';
import { type ApiClient, ApiProblem } from '../client.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { paintState } from '../paint.ts';
import { print } from '../print.ts';
import { readJson, writeText } from '../text-file.ts';
import { type AccessOptions, toAccess, withAccessOptions } from './access-options.ts';

export interface SpecOptions extends AccessOptions {
  readonly key?: ReturnType<typeof parseKey>;
  readonly keyLossPolicy?: string;
  readonly drainSeconds?: number;
  readonly principal?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly wrappedDek?: string;
}

interface RegisterOptions extends SpecOptions {
  readonly file?: string;
  readonly validateOnly?: boolean;
  readonly dryRun?: boolean;
  readonly ifMatch?: string;
  readonly out?: string;
}

export function registerRegister(servers: Command, context: CliContext): void {
  withAccessOptions(
    servers
      .command('register <server>')
      .description('register a server, or change what is registered; never makes a second DEK')
      .option('--key <key>', 'its key; with a version the server is pinned to it', parseKey),
  )
    .addOption(
      new Option('--key-loss-policy <policy>', 'what happens to sessions when the key is lost').choices(
        KeyLossPolicy.options,
      ),
    )
    .option('--drain-seconds <n>', 'for the policy drain', whole(0, 604_800))
    .option('--principal <id>', 'the identity that may have the DEK (role Dek.Assign)')
    .option('--label <name=value>', 'a label; as many as there are', label)
    .option('--wrapped-dek <file>', 'JSON of a DEK to take over instead of a new one (role Dek.Assign)')
    .option('--file <file>', 'the whole registration as JSON, in place of the options above')
    .option('--if-match <etag>', 'only if the server is still as it was shown')
    .option('--validate-only', 'check, and change nothing')
    .option('--dry-run', 'the same as --validate-only')
    .option('--out <file>', 'write the answer there, the wrapped DEK in it')
    .action((serverId: string, options: RegisterOptions) => register(context, serverId, options));
}

async function register(context: CliContext, serverId: string, options: RegisterOptions): Promise<void> {
  const api = context.api();
  const { body, ifMatch } = await toRequest(api, serverId, options);
  if (options.validateOnly === true || options.dryRun === true) {
    await validate(context, serverId, body);
    return;
  }
  const answer = await api.request('PUT', serverPath(serverId), { body, ifMatch });
  const server = parseAnswer(RegisteredServer, answer);
  if (options.out !== undefined) await writeText(options.out, `${JSON.stringify(server, null, 2)}\n`);
  print(context, server, ({ line, paint }) => {
    const did = answer.status === 201 ? 'is registered' : 'was registered before, and is as you say';
    line(`${server.serverId} ${did}: ${paintState(paint, server.state)}`);
    line(`key  ${server.keyId}`);
    line(`DEK  ${server.dekId}${options.out === undefined ? '' : `; its wrapping is in ${options.out} too`}`);
    if (server.remedy !== null && server.reason !== 'AccessNotApplied') line(server.remedy);
  });
}

/** Asks for the checks of a registration; what failed is a finding. */
export async function validate(context: CliContext, serverId: string, body: unknown): Promise<void> {
  const query = { validateOnly: 'true' };
  const answer = await context.api().request('PUT', serverPath(serverId), { body, query });
  const { valid, checks } = parseAnswer(Validation, answer);
  if (!valid) context.findings.exitCode = EXIT.checkFailed;
  print(context, { valid, checks }, ({ table, line, paint }) => {
    table(
      ['CHECK', 'OUTCOME', 'FOUND', 'REMEDY'],
      checks.map(({ code, outcome, message, remedy }) => [
        code,
        { painted: paintState(paint, outcome) },
        message,
        remedy ?? '',
      ]),
    );
    line(
      valid
        ? 'It can be registered; nothing was changed.'
        : paint('bad', 'It can not be registered like that.'),
    );
  });
}

async function toRequest(
  api: ApiClient,
  serverId: string,
  { file, validateOnly: _validateOnly, dryRun: _dryRun, out: _out, ifMatch, ...spec }: RegisterOptions,
): Promise<{ readonly body: unknown; readonly ifMatch: string | undefined }> {
  if (file !== undefined) {
    if (Object.keys(spec).length === 0) return { body: await readJson(file), ifMatch };
    throw cliError(
      'UsageWrong',
      '--file is the whole registration',
      'Leave out the other options, or the file.',
    );
  }
  const before = await findServer(api, serverId);
  const body = await toBody(spec, before?.server);
  // What was kept was read a moment ago: somebody else's change in between is not undone.
  return { body, ifMatch: ifMatch ?? before?.etag ?? undefined };
}

async function findServer(api: ApiClient, serverId: string) {
  try {
    const answer = await api.request('GET', serverPath(serverId));
    return { server: parseAnswer(Server, answer), etag: answer.etag };
  } catch (error) {
    if (error instanceof ApiProblem && error.code === 'ServerNotFound') return null;
    throw error;
  }
}

async function toBody(spec: SpecOptions, before: Server | undefined): Promise<unknown> {
  const keyId = spec.key === undefined ? before && toKeyId(before) : toKeyUrl(spec.key);
  if (keyId === undefined) throw cliError('UsageWrong', 'a new server needs a key', 'Give --key.');
  return {
    keyId,
    access: toAccess(spec, before?.access),
    keyLossPolicy: spec.keyLossPolicy ?? before?.keyLossPolicy,
    drainSeconds: spec.drainSeconds ?? before?.drainSeconds,
    principalId: spec.principal,
    labels: { ...before?.labels, ...spec.label },
    ...(spec.wrappedDek === undefined ? {} : { wrappedDek: await readJson(spec.wrappedDek) }),
  };
}

/** As it would be registered again: the version is part of it only where it is pinned. */
export function toKeyId({ keyId, pinned }: Pick<Server, 'keyId' | 'pinned'>): string {
  return pinned ? keyId : keyUrl(parseKey(keyId).kek);
}
