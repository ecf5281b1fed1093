// Optional: a vault with one key, to try the app with. Made as a customer should make theirs.
param location string
param tags object
param name string
param keyName string

@description('Who may make new versions, disable and delete the key; empty: nobody is given that.')
param operatorPrincipalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string

var cryptoOfficer = '14b46e9e-c2b7-41b4-b07b-48a6ebf60603'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Can't be undone: `azd down` leaves the vault in its soft-deleted state, and its name taken, for 90 days.
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
  }

  resource key 'keys' = {
    name: keyName
    properties: {
      kty: 'RSA'
      keySize: 3072
      keyOps: ['wrapKey', 'unwrapKey']
      rotationPolicy: {
        attributes: { expiryTime: 'P1Y' }
        lifetimeActions: [
          { trigger: { timeAfterCreate: 'P90D' }, action: { type: 'rotate' } }
          { trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'notify' } }
        ]
      }
    }
  }
}

resource operatorRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  scope: vault
  name: guid(vault.id, operatorPrincipalId, cryptoOfficer)
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoOfficer)
    description: 'The customer of the demo: whoever deployed it'
  }
}

output vaultName string = vault.name
output keyName string = vault::key.name
