// The app may read one secret: the role is given on the secret, not on the vault.
param vaultName string
param secretName string
param appPrincipalId string

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName

  resource secret 'secrets' existing = {
    name: secretName
  }
}

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault::secret
  name: guid(vault::secret.id, appPrincipalId, secretsUser)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    description: 'pg-cmk: a setting of the app refers to this secret'
  }
}
