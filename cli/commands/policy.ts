// pg-cmk keys policy: what the customer chooses for a key.
import { type Command, Option } from 'commander';
import { KeyDetail, type PolicyBody } from '../../shared/api/keys.ts';
import { parseAnswer } from '../answers.ts';
import { keyPath, list, parseKey, whole } from '../arguments.ts';
import type { CliContext } from '../context.ts';
import { print } from '../print.ts';
import { toPolicy } from './key-view.ts';
import { readKey } from './read-key.ts';

type KeyArgument = ReturnType<typeof parseKey>;

interface PolicyOptions {
  readonly canary?: readonly string[];
  readonly wave?: number | 'all';
  readonly soak?: number;
  readonly haltAfter?: number | 'never';
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly expired?: 'revoke' | 'warn';
  readonly transient?: 'alert' | 'revoke';
  readonly verification?: 'sample' | 'every';
  readonly dryRun?: boolean;
}

/** A number or a word; not null for the word, which commander takes for an option without a value. */
const wholeOr =
  <W extends string>(word: W, parse: (text: string) => number) =>
  (text: string): number | W =>
    text === word ? word : parse(text);

export function registerPolicy(keys: Command, context: CliContext): void {
  keys
    .command('policy')
    .description('show the policy of a key, or set what is given')
    .argument('<key>', 'its URL, or vault-host/name', parseKey)
    .option('--canary <servers>', 'rewrapped first, separated by commas; "" for none', list)
    .option('--wave <n>', 'servers of a wave, or `all`', wholeOr('all', whole(1, 1_000_000)))
    .option('--soak <seconds>', 'time between two waves', whole(0, 604_800))
    .option(
      '--halt-after <n>',
      'a rotation halts after more failures, or `never`',
      wholeOr('never', whole(0, 1_000_000)),
    )
    .option('--pause', 'rewrap nothing for now')
    .addOption(new Option('--resume', 'go on').conflicts('pause'))
    .addOption(new Option('--expired <what>', 'when a version expires').choices(['revoke', 'warn']))
    .addOption(
      new Option('--transient <what>', 'when the vault is out of reach for long').choices([
        'alert',
        'revoke',
      ]),
    )
    .addOption(new Option('--verification <what>', 'of new wrappings').choices(['sample', 'every']))
    .option('--dry-run', 'show before and after, and change nothing')
    .action((key: KeyArgument, options: PolicyOptions) => setPolicy(context, key, options));
}

function toPolicyBody(options: PolicyOptions): PolicyBody {
  const paused = options.pause === true ? true : options.resume === true ? false : undefined;
  const body = {
    canaryServers: options.canary,
    waveServers: options.wave === 'all' ? null : options.wave,
    waveSoakSeconds: options.soak,
    haltAfterFailures: options.haltAfter === 'never' ? null : options.haltAfter,
    rewrapPaused: paused,
    expiredKeyPolicy: options.expired,
    transientBuffer: options.transient,
    rewrapVerification: options.verification,
  };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

async function setPolicy(context: CliContext, key: KeyArgument, options: PolicyOptions): Promise<void> {
  const api = context.api();
  const body = toPolicyBody(options);
  const isQuestion = Object.keys(body).length === 0;
  if (isQuestion || options.dryRun === true) {
    const { policy } = await readKey(api, key);
    const after = Object.assign({}, policy, body);
    print(context, isQuestion ? policy : { dryRun: true, before: policy, after }, ({ line }) => {
      line(toPolicy(policy));
      if (isQuestion) return;
      line(`would become: ${toPolicy(after)}`);
      line('Nothing was changed.');
    });
    return;
  }
  const answer = await api.request('PATCH', keyPath(key), { body });
  const { policy } = parseAnswer(KeyDetail.pick({ policy: true }), answer);
  print(context, policy, ({ line }) => line(toPolicy(policy)));
}
