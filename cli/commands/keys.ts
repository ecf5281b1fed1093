// pg-cmk keys: what is known of each, its policy, its hold, and the app's own public keys.
import type { Command } from 'commander';
import { KeyPage, SigningKeys } from '../../shared/api/keys.ts';
import { parseAnswer, readAll } from '../answers.ts';
import { keyPath, parseKey, whole } from '../arguments.ts';
import { cliError } from '../cli-error.ts';
import { confirm } from '../confirm.ts';
import type { CliContext } from '../context.ts';
import { count, note, print } from '../print.ts';
import { writeText } from '../text-file.ts';
import { printImpact } from './impact.ts';
import { showKey, showKeys } from './key-view.ts';
import { registerPolicy } from './policy.ts';
import { readKey } from './read-key.ts';

type KeyArgument = ReturnType<typeof parseKey>;

export function registerKeys(program: Command, context: CliContext): void {
  const keys = program
    .command('keys')
    .description('keys, their versions, policies and holds')
    .addHelpText('after', '\nAlone it is `pg-cmk keys list`, with the options of that.');

  keys
    .command('list', { isDefault: true })
    .description('all keys')
    .option('--vault <host>', 'of one vault')
    .option('--limit <n>', 'so many at most', whole(1, 1_000_000))
    .action((options: { readonly vault?: string; readonly limit?: number }) => listKeys(context, options));

  keys
    .command('show')
    .description('versions, census, policy, rotation')
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .option('--count', 'count its servers now, failures and expected end included')
    .action((key: KeyArgument, options: { readonly count?: boolean }) => show(context, key, options));

  registerPolicy(keys, context);

  keys
    .command('revoke')
    .description('hold every server of the key: access ends, whatever the key says, until `restore`')
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .requiredOption('--reason <text>', 'shown to everybody who asks why')
    .option('--dry-run', 'show which servers would lose access, and change nothing')
    .action((key: KeyArgument, options: { readonly reason: string; readonly dryRun?: boolean }) =>
      revoke(context, key, options),
    );

  keys
    .command('restore')
    .description('lift the hold: the key alone decides again')
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .option('--dry-run', 'say what would happen, and change nothing')
    .action((key: KeyArgument, options: { readonly dryRun?: boolean }) => restore(context, key, options));

  keys
    .command('signing-keys')
    .description("the app's own public keys, to check its statements with")
    .option('--out <file>', 'write them there')
    .action((options: { readonly out?: string }) => saveSigningKeys(context, options));
}

async function listKeys(
  context: CliContext,
  { vault, limit }: { readonly vault?: string; readonly limit?: number },
): Promise<void> {
  const { items, more } = await readAll(
    context.api(),
    { path: '/api/keys', query: { vault }, schema: KeyPage },
    limit ?? null,
    (page) => page.keys,
  );
  print(context, { keys: items, more }, (view) => showKeys(view, items));
  if (context.options().output === 'json') return;
  note(context, `${count(items.length, 'key')}${more ? '; there are more' : ''}`);
}

async function show(
  context: CliContext,
  key: KeyArgument,
  options: { readonly count?: boolean },
): Promise<void> {
  const found = await readKey(context.api(), key, options.count === true);
  print(context, found, (view) => showKey(view, found));
}

async function revoke(
  context: CliContext,
  key: KeyArgument,
  options: { readonly reason: string; readonly dryRun?: boolean },
): Promise<void> {
  const api = context.api();
  if (options.dryRun === true) {
    // A hold takes from the same servers what a disabled key would.
    await printImpact(context, key, { of: 'disable' });
    return;
  }
  if (context.options().yes !== true) {
    const { servers, vault, name } = await readKey(api, key);
    const who = servers === null ? 'every server' : count(servers, 'server');
    await confirm(context, `${who} of ${vault}/${name} will have no access until it is restored.`, name);
  }
  await api.request('POST', `${keyPath(key)}/revoke`, { body: { reason: options.reason }, repeatable: true });
  await printHold(context, key);
}

async function restore(
  context: CliContext,
  key: KeyArgument,
  { dryRun }: { readonly dryRun?: boolean },
): Promise<void> {
  const api = context.api();
  if (dryRun === true) {
    const { hold } = await readKey(api, key);
    const would = hold === null ? 'the key has no hold' : `the hold is lifted (${hold.reason})`;
    print(context, { dryRun: true, would, hold }, ({ line }) => {
      line(`Would happen: ${would}.`);
      line('Nothing was changed.');
    });
    return;
  }
  await api.request('POST', `${keyPath(key)}/restore`, { repeatable: true });
  await printHold(context, key);
}

async function printHold(context: CliContext, key: KeyArgument): Promise<void> {
  const found = await readKey(context.api(), key);
  const { hold, vault, name, servers } = found;
  print(context, found, ({ line, paint }) => {
    line(`${vault}/${name}: ${hold === null ? paint('good', 'no hold') : paint('bad', 'held')}`);
    line(
      `${servers === null ? 'its servers' : count(servers, 'server')} ${hold === null ? 'follow the key alone' : 'lose access'}; see pg-cmk servers --key ${vault}/${name}`,
    );
  });
}

async function saveSigningKeys(context: CliContext, { out }: { readonly out?: string }): Promise<void> {
  const keys = parseAnswer(SigningKeys, await context.api().request('GET', '/api/signing-keys'));
  const text = `${JSON.stringify(keys, null, 2)}\n`;
  if (out === undefined) {
    // A JWK set is JSON however it is asked for.
    context.io.stdout.write(text);
    return;
  }
  if (keys.keys.length === 0) {
    throw cliError('AnswerNotUnderstood', 'the app has no signing key', 'See PGCMK_SIGNING_KEY of the app.');
  }
  await writeText(out, text);
  note(context, `${count(keys.keys.length, 'key')} in ${out}`);
}
