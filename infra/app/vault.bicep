// What a vault of a customer gets, in its own resource group: the app's role on each of the keys, the stream of its
// audit log, and the topic of its events.
param vaultName string

@description('Region of the vault: the topic must be in the same.')
param location string
param keyNames string[]

@description('The identity of the app.')
param appPrincipalId string

@description('The rule of the event hub to which the audit log goes; empty: it goes nowhere.')
param auditRuleId string
param auditHubName string

@description('The system topic to make; empty: the vault has one already.')
param newTopicName string

@description('The identity that writes dead letters.')
param deliveryIdentityId string
param tags object

// Key metadata, wrap and unwrap. It can't make, change, disable or delete a key.
var cryptoServiceEncryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName
}

resource keys 'Microsoft.KeyVault/vaults/keys@2026-02-01' existing = [
  for keyName in keyNames: {
    parent: vault
    name: keyName
  }
]

resource keyRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (keyName, index) in keyNames: {
    scope: keys[index]
    name: guid(keys[index].id, appPrincipalId, cryptoServiceEncryptionUser)
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoServiceEncryptionUser)
      description: 'pg-cmk: probes and unwraps under this key'
    }
  }
]

resource auditLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(auditRuleId)) {
  scope: vault
  name: 'pg-cmk-audit'
  properties: {
    eventHubAuthorizationRuleId: auditRuleId
    eventHubName: auditHubName
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (!empty(newTopicName)) {
  name: empty(newTopicName) ? 'none' : newTopicName
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${deliveryIdentityId}': {} } }
  properties: { source: vault.id, topicType: 'Microsoft.KeyVault.vaults' }
}
