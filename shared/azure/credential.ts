// Who the app is. Always chosen by a setting: DefaultAzureCredential tries for seconds, and hides mistakes.
import type { TokenCredential } from '@azure/identity';
import {
  AzureCliCredential,
  AzureDeveloperCliCredential,
  EnvironmentCredential,
  ManagedIdentityCredential,
  WorkloadIdentityCredential,
} from '@azure/identity';

export type CredentialChoice =
  /** In Azure. `clientId` names a user-assigned identity; without it the system-assigned one is meant. */
  | { readonly kind: 'managedIdentity'; readonly clientId?: string }
  /** On Kubernetes. The tenant and the token file come from the variables that the webhook sets. */
  | { readonly kind: 'workloadIdentity'; readonly clientId?: string }
  | { readonly kind: 'azureCli' }
  | { readonly kind: 'azureDeveloperCli' }
  /** A service principal from AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or certificate. */
  | { readonly kind: 'environment' };

export function makeCredential(choice: CredentialChoice): TokenCredential {
  switch (choice.kind) {
    case 'managedIdentity':
      return new ManagedIdentityCredential(withClientId(choice));
    case 'workloadIdentity':
      return new WorkloadIdentityCredential(withClientId(choice));
    case 'azureCli':
      return new AzureCliCredential();
    case 'azureDeveloperCli':
      return new AzureDeveloperCliCredential();
    case 'environment':
      return new EnvironmentCredential();
  }
}

const withClientId = ({ clientId }: { readonly clientId?: string }) =>
  clientId === undefined ? {} : { clientId };
