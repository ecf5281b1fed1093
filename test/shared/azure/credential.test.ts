import {
  AzureCliCredential,
  AzureDeveloperCliCredential,
  EnvironmentCredential,
  ManagedIdentityCredential,
  WorkloadIdentityCredential,
} from '@azure/identity';
import { afterEach, expect, test, vi } from 'vitest';
import { makeCredential } from '../../../shared/azure/credential.ts';

afterEach(() => vi.unstubAllEnvs());

test.each([
  [{ kind: 'managedIdentity' }, ManagedIdentityCredential],
  [{ kind: 'managedIdentity', clientId: '00000000-0000-0000-0000-000000000001' }, ManagedIdentityCredential],
  [{ kind: 'azureCli' }, AzureCliCredential],
  [{ kind: 'azureDeveloperCli' }, AzureDeveloperCliCredential],
  [{ kind: 'environment' }, EnvironmentCredential],
] as const)('%j is what was asked for, and nothing else', (choice, expected) => {
  expect(makeCredential(choice)).toBeInstanceOf(expected);
});

test('a workload’s identity comes from the variables that the webhook sets', () => {
  vi.stubEnv('AZURE_TENANT_ID', '00000000-0000-0000-0000-000000000002');
  vi.stubEnv('AZURE_CLIENT_ID', '00000000-0000-0000-0000-000000000003');
  vi.stubEnv('AZURE_FEDERATED_TOKEN_FILE', '/var/run/token');
  expect(makeCredential({ kind: 'workloadIdentity' })).toBeInstanceOf(WorkloadIdentityCredential);
});
