// Soft delete and purge protection: seen through the checks of a registration that is there already, one a vault.
import { type Server, Validation } from '../../shared/api/servers.ts';
import { parseKeyUrl } from '../../shared/domain/key-id.ts';
import { parseAnswer } from '../answers.ts';
import { serverPath } from '../arguments.ts';
import { type ApiClient, ApiProblem } from '../client.ts';
import { toKeyId } from '../commands/register.ts';
import { type Finding, finding, type Severity, some } from './finding.ts';

/** One server of each vault, to look at the vault through. */
export type VaultServers = ReadonlyMap<string, Server>;

const LOOKED_FOR = [
  'SoftDeleteOff',
  'PurgeProtectionOff',
  'RetentionShort',
  'KeyOperationsMissing',
  'KeyRightsMissing',
];

const SEVERITIES: Readonly<Record<Validation['checks'][number]['outcome'], Severity>> = {
  passed: 'ok',
  warning: 'warning',
  failed: 'error',
  // Nobody sees more of it from elsewhere: what it hangs on is wrong first, and a finding of its own.
  skipped: 'info',
};

export function vaultOf({ keyId }: Pick<Server, 'keyId'>): string {
  return parseKeyUrl(keyId).kek.vault;
}

export async function checkVaults(
  api: ApiClient,
  vaults: readonly string[],
  servers: VaultServers,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const unseen: string[] = [];
  let why = 'no server tells of them';
  for (const vault of vaults) {
    const server = servers.get(vault);
    // The first refusal is that of all.
    const checks = server === undefined || why.startsWith('the app') ? null : await ask(api, server);
    if (typeof checks === 'string') why = checks;
    if (checks === null || typeof checks === 'string') unseen.push(vault);
    else findings.push(...toFindings(vault, checks));
  }
  return [...findings, ...unseenVaults(unseen, why)];
}

/** Changes nothing. The reason where the caller may not ask. */
async function ask(api: ApiClient, server: Server): Promise<Validation['checks'] | string> {
  const { access, keyLossPolicy, labels } = server;
  const body = { keyId: toKeyId(server), access, keyLossPolicy, labels };
  try {
    const answer = await api.request('PUT', serverPath(server.serverId), {
      query: { validateOnly: 'true' },
      body,
    });
    return parseAnswer(Validation, answer).checks;
  } catch (error) {
    if (error instanceof ApiProblem && error.status < 500) return `the app refused to look (${error.code})`;
    throw error;
  }
}

function toFindings(vault: string, checks: Validation['checks']): readonly Finding[] {
  const seen = checks.filter(({ code }) => LOOKED_FOR.includes(code));
  const bad = seen.filter(({ outcome }) => outcome !== 'passed');
  if (seen.length > 0 && bad.length === 0) {
    return [
      finding(
        `vault ${vault}`,
        'ok',
        "soft delete, purge protection and the app's rights are as they should be",
      ),
    ];
  }
  return bad.map(({ outcome, code, message, remedy }) =>
    finding(`vault ${vault}`, SEVERITIES[outcome], `${code}: ${message}`, remedy),
  );
}

const unseenVaults = (vaults: readonly string[], why: string): readonly Finding[] =>
  vaults.length === 0
    ? []
    : [
        finding(
          'soft delete, purge protection',
          'unseen',
          `${why}: ${some(vaults)}`,
          `az keyvault show --name ${vaults[0]?.split('.')[0]} --query 'properties.[enableSoftDelete,enablePurgeProtection,softDeleteRetentionInDays]'`,
        ),
      ];
