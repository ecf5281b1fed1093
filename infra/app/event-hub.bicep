// The audit logs of the vaults, on their way to the function keyVaultAuditLog. Nothing is kept here: the probe finds
// every change without it, only later, and without the name of who did it.
param location string
param tags object
param namespaceName string
param hubName string

@description('Whether only private endpoints and Azure Monitor reach it.')
param private bool

resource namespace 'Microsoft.EventHub/namespaces@2026-01-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard', capacity: 1 }
  properties: {
    minimumTlsVersion: '1.2'
    // A diagnostic setting sends with the rule below and knows no identity. No secret of the rule is read or stored by us.
    disableLocalAuth: false
    isAutoInflateEnabled: true
    maximumThroughputUnits: 4
  }
}

resource network 'Microsoft.EventHub/namespaces/networkRuleSets@2026-01-01' = {
  parent: namespace
  name: 'default'
  properties: {
    publicNetworkAccess: 'Enabled'
    defaultAction: private ? 'Deny' : 'Allow'
    // Azure Monitor is one of the trusted services.
    trustedServiceAccessEnabled: true
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2026-01-01' = {
  parent: namespace
  name: hubName
  properties: {
    partitionCount: 2
    retentionDescription: { cleanupPolicy: 'Delete', retentionTimeInHours: 24 }
  }
}

@description('For diagnostic settings. They want a rule of the namespace, and all three rights to be configured.')
resource sendRule 'Microsoft.EventHub/namespaces/authorizationRules@2026-01-01' = {
  parent: namespace
  name: 'diagnostic-settings'
  properties: { rights: ['Listen', 'Manage', 'Send'] }
}

output namespaceId string = namespace.id
output hubName string = hub.name
output sendRuleId string = sendRule.id
output host string = split(split(namespace.properties.serviceBusEndpoint, '//')[1], ':')[0]
