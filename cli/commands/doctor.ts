// pg-cmk doctor: everything that can be seen from outside, each finding with what to do.
import { type Command, Option } from 'commander';
import { type Key, KeyPage } from '../../shared/api/keys.ts';
import { type Server, ServerPage } from '../../shared/api/servers.ts';
import { readAll, readPages } from '../answers.ts';
import { type ApiClient, ApiProblem } from '../client.ts';
import type { CliContext } from '../context.ts';
import { checkApp } from '../doctor/check-app.ts';
import { checkKeys } from '../doctor/check-keys.ts';
import { makeServerCheck } from '../doctor/check-servers.ts';
import { checkToken } from '../doctor/check-token.ts';
import { checkVaults, vaultOf } from '../doctor/check-vaults.ts';
import { type Finding, finding, type Severity } from '../doctor/finding.ts';
import { EXIT } from '../exit-codes.ts';
import { paintState, plain } from '../paint.ts';
import { print } from '../print.ts';
import { makeTokenSource } from '../token.ts';

interface DoctorOptions {
  readonly failOn: 'warning' | 'error';
  readonly all?: boolean;
}

export function registerDoctor(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description('look for what is wrong: app, clock, token, roles, keys, servers, events, queues, vaults')
    .addOption(
      new Option('--fail-on <severity>', 'exit with 5 from this severity on')
        .choices(['warning', 'error'])
        .default('warning'),
    )
    .option('--all', 'show what is well too')
    .action((options: DoctorOptions) => doctor(context, options));
}

async function doctor(context: CliContext, { failOn, all }: DoctorOptions): Promise<void> {
  const findings = await examine(context);
  const failing: readonly Severity[] = failOn === 'error' ? ['error'] : ['error', 'warning'];
  const healthy = !findings.some(({ severity }) => failing.includes(severity));
  if (!healthy) context.findings.exitCode = EXIT.checkFailed;
  print(context, { healthy, findings }, ({ line, paint }) => {
    const shown = findings.filter(({ severity }) => all === true || severity !== 'ok');
    for (const severity of ORDER) {
      for (const one of shown.filter((found) => found.severity === severity)) {
        line(
          `${paintState(paint, severity)}${' '.repeat(9 - severity.length)}${plain(`${one.check}: ${one.found}`)}`,
        );
        if (one.remedy !== null) line(`         ${paint('faint', plain(one.remedy))}`);
      }
    }
    const totals = ORDER.map((severity) => [
      severity,
      findings.filter((one) => one.severity === severity).length,
    ]);
    line(totals.map(([severity, many]) => `${many} ${severity}`).join(', '));
  });
}

const ORDER: readonly Severity[] = ['error', 'warning', 'unseen', 'info', 'ok'];

/** @throws CliError AppUnreachable: without the app there is nothing to see */
async function examine(context: CliContext): Promise<readonly Finding[]> {
  const { io } = context;
  const api = context.api();
  const app = await checkApp(api, io.now);
  const token = await checkToken(makeTokenSource(io), io.now());
  return [...app, ...token, ...(await lookAtFleet(api, io.now()))];
}

async function lookAtFleet(api: ApiClient, now: Date): Promise<readonly Finding[]> {
  try {
    const { items: keys } = await readAll(
      api,
      { path: '/api/keys', query: {}, schema: KeyPage },
      null,
      (page) => page.keys,
    );
    const { findings, ofVault } = await lookAtServers(api);
    const vaults = [...new Set(keys.map(({ vault }: Key) => vault))];
    return [...checkKeys(keys, now), ...findings, ...(await checkVaults(api, vaults, ofVault))];
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    // The app refuses, or can't: that is a finding, and what was found before stands.
    return [
      finding('fleet', 'error', `the app does not show it: ${error.message} [${error.code}]`, error.remedy),
    ];
  }
}

async function lookAtServers(api: ApiClient) {
  const check = makeServerCheck();
  const ofVault = new Map<string, Server>();
  for await (const page of readPages(api, { path: '/api/servers', query: {}, schema: ServerPage })) {
    check.add(page);
    for (const server of page.servers) {
      if (!server.tombstone && !ofVault.has(vaultOf(server))) ofVault.set(vaultOf(server), server);
    }
  }
  return { findings: check.findings(), ofVault };
}
