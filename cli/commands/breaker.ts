// pg-cmk breaker: whether suspect verdicts are held, and letting them act.
import type { Command } from 'commander';
import { ClearedBreaker, Health } from '../../shared/api/health.ts';
import { parseAnswer } from '../answers.ts';
import { confirm } from '../confirm.ts';
import type { CliContext } from '../context.ts';
import { count, print } from '../print.ts';

export function registerBreaker(program: Command, context: CliContext): void {
  program
    .command('breaker')
    .description('the breaker, which holds suspect verdicts when most vaults turn suspect at once')
    .command('clear')
    .description('the losses are real: servers whose keys cannot be used lose access now')
    .option('--dry-run', 'say what the breaker holds, and change nothing')
    .action((options: { readonly dryRun?: boolean }) => clear(context, options));
}

async function clear(context: CliContext, { dryRun }: { readonly dryRun?: boolean }): Promise<void> {
  const api = context.api();
  if (dryRun === true) {
    const { checks } = parseAnswer(Health, await api.request('GET', '/api/health'));
    const breaker = checks.find(({ name }) => name === 'breaker') ?? null;
    print(context, { dryRun: true, breaker }, ({ line }) => {
      line(`The breaker: ${breaker === null ? 'could not be asked' : breaker.detail}.`);
      line('Nothing was changed.');
    });
    return;
  }
  const what = 'Suspect verdicts act at once: every server whose key cannot be used loses access.';
  await confirm(context, what, 'breaker');
  const answer = await api.request('POST', '/api/breaker/clear', { repeatable: true });
  const cleared = parseAnswer(ClearedBreaker, answer);
  print(context, cleared, ({ line }) => {
    line(cleared.wasHolding ? 'The breaker is cleared.' : 'The breaker held nothing.');
    line(
      `${count(cleared.keys, 'suspect key')} looked at now${cleared.vaults.length === 0 ? '' : `; vaults: ${cleared.vaults.join(', ')}`}.`,
    );
  });
}
