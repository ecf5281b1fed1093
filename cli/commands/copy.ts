// pg-cmk servers copy: another server with the same DEK, for a replica or a restored backup.
import { type Command, Option } from 'commander';
import { KeyLossPolicy, RegisteredServer, Server } from '../../shared/api/servers.ts';
import { parseAnswer } from '../answers.ts';
import { label, parseKey, serverPath, toKeyUrl } from '../arguments.ts';
import type { CliContext } from '../context.ts';
import { paintState } from '../paint.ts';
import { print } from '../print.ts';
import { toAccess, withAccessOptions } from './access-options.ts';
import { type SpecOptions, toKeyId, validate } from './register.ts';

interface CopyOptions extends SpecOptions {
  readonly kind: 'replica' | 'restore';
  readonly dryRun?: boolean;
}

export function registerCopy(servers: Command, context: CliContext): void {
  withAccessOptions(
    servers
      .command('copy <server> <copy>')
      .description('another server with the same DEK (role Dek.Assign)')
      .addOption(
        new Option('--kind <kind>', "a replica shares its primary's key; a restore may have another")
          .choices(['replica', 'restore'])
          .makeOptionMandatory(),
      )
      .option('--key <key>', "for a restore: another key than its source's", parseKey),
  )
    .addOption(new Option('--key-loss-policy <policy>', "else its source's").choices(KeyLossPolicy.options))
    .option('--principal <id>', 'the identity that may have the DEK')
    .option('--label <name=value>', 'a label; as many as there are', label)
    .option('--dry-run', 'run the checks of a registration, and change nothing')
    .action((serverId: string, copyId: string, options: CopyOptions) =>
      copy(context, serverId, copyId, options),
    );
}

async function copy(
  context: CliContext,
  serverId: string,
  copyId: string,
  options: CopyOptions,
): Promise<void> {
  const { kind, key, keyLossPolicy, principal, label: labels } = options;
  const api = context.api();
  const body = {
    access: toAccess(options, undefined),
    keyLossPolicy,
    principalId: principal,
    labels,
    keyId: key && toKeyUrl(key),
  };
  if (options.dryRun === true) {
    const source = parseAnswer(Server, await api.request('GET', serverPath(serverId)));
    // The DEK is not asked for: whoever may only register may check all the rest.
    const { principalId: _principalId, ...checked } = body;
    await validate(context, copyId, { ...checked, keyId: body.keyId ?? toKeyId(source) });
    return;
  }
  const answer = await api.request('POST', `${serverPath(serverId)}/copies`, {
    body: { ...body, serverId: copyId, kind },
    repeatable: true,
  });
  const made = parseAnswer(RegisteredServer.partial({ wrappedDek: true }), answer);
  print(context, made, ({ line, paint }) => {
    line(`${copyId} is a ${kind} of ${serverId}: ${paintState(paint, made.state)}`);
    line(`key  ${made.keyId}`);
    line(`DEK  ${made.dekId}: the same`);
    line('Give its identity the DEK (pg-cmk dek) and start it: it is opened by itself.');
  });
}
