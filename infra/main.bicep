// All that the app needs in Azure, but the subscriptions of its Event Grid functions: those come after the code
// (subscriptions.bicep). docs/infrastructure.md explains it.
targetScope = 'subscription'

import { alwaysReadyType, ownEvents, secretType, vaultEvents, vaultType } from 'types.bicep'

@description('Name of the azd environment: it is in the name of the resource group.')
@minLength(1)
@maxLength(40)
param environmentName string

param location string

@description('The vaults and keys of the customers.')
param vaults vaultType[] = []

@description('Makes a vault with one key, to try the app with. It is under purge protection.')
param demoVault bool = false

@description('Who plays the customer in the demo vault; empty: whoever deploys.')
param operatorPrincipalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Whether the vaults stream their audit log to the app.')
param auditLog bool = true

@description('Whether the app has a network of its own, with private endpoints for all that it calls.')
param privateNetwork bool = false

param addressSpace string = '10.61.0.0/24'

@allowed(['22', '24'])
param nodeVersion string = '24'

@description('Most instances of each function beside the ones that are always ready.')
@minValue(1)
@maxValue(1000)
param maxInstances int = 2

@allowed([512, 2048, 4096])
param instanceMemoryMb int = 2048

@description('What is kept warm: the way from a change in a vault to the end of the sessions. rewrapDeks must not be among them: its limit would no longer hold.')
param alwaysReady alwaysReadyType[] = [
  { name: 'function:probeKeks', instanceCount: 1 }
  { name: 'function:reconcileKek', instanceCount: 1 }
  { name: 'function:applyServerAccess', instanceCount: 1 }
]

@description('Issuer of the tokens of the API; empty: the API answers 503.')
param authIssuer string = ''

@description('Audience of those tokens.')
param authAudience string = ''

@description('Secrets that settings refer to: PGCMK_SIGNING_KEY, which the API needs, and passwords of servers.')
param secrets secretType[] = []

@description('Other settings of docs/settings.md, by name. Nothing secret: use `secrets` for that.')
param settings object = {}

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_ZRS'

@minValue(7)
@maxValue(365)
param undeleteDays int = 30

@minValue(1)
@maxValue(3650)
param exportImmutableDays int = 30

@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Most gigabytes of logs and metrics in a day; -1: no limit.')
param dailyCapGb int = -1

@description('Who is told of alerts.')
param alertEmails string[] = []

@allowed([5, 10, 15, 30, 45, 60])
param patienceMinutes int = 15

param runbookUrl string = 'docs/runbook.md'

var tags = { 'azd-env-name': environmentName }
var token = toLower(uniqueString(subscription().id, environmentName, location))
var names = {
  appIdentity: 'id-pgcmk-${token}'
  deliveryIdentity: 'id-pgcmk-delivery-${token}'
  storage: 'stpgcmk${token}'
  workspace: 'log-pgcmk-${token}'
  component: 'appi-pgcmk-${token}'
  eventHubs: 'evhns-pgcmk-${token}'
  hub: 'vault-audit'
  topic: 'evgt-pgcmk-${token}'
  network: 'vnet-pgcmk-${token}'
  plan: 'plan-pgcmk-${token}'
  app: 'func-pgcmk-${token}'
  actionGroup: 'ag-pgcmk-${token}'
  demoVault: 'kv-pgcmk-${token}'
  demoKey: 'demo'
  packages: 'app-package'
  deadLetters: 'dead-letters'
}
var resourceGroupName = 'rg-${environmentName}'

var allVaults = concat(
  vaults,
  demoVault ? [{ name: names.demoVault, resourceGroup: resourceGroupName, keys: [names.demoKey] }] : []
)
// A new topic bears the name of its vault, which no other vault has.
var systemTopics = map(allVaults, vault => {
  name: vault.?systemTopic ?? 'evgst-pgcmk-${vault.name}'
  resourceGroup: vault.resourceGroup
  subscriptionId: vault.?subscriptionId ?? subscription().subscriptionId
})

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  scope: group
  params: { location: location, tags: tags, appName: names.appIdentity, deliveryName: names.deliveryIdentity }
}

module storage 'app/storage.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.storage
    sku: storageSku
    private: privateNetwork
    undeleteDays: undeleteDays
    exportImmutableDays: exportImmutableDays
    packageContainer: names.packages
    deadLetterContainer: names.deadLetters
  }
}

module monitoring 'app/monitoring.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceName: names.workspace
    componentName: names.component
    retentionDays: logRetentionDays
    dailyCapGb: dailyCapGb
  }
}

module topic 'app/event-topic.bicep' = {
  scope: group
  params: { location: location, tags: tags, name: names.topic, deliveryIdentityId: identity.outputs.delivery.id }
}

module eventHub 'app/event-hub.bicep' = if (auditLog) {
  scope: group
  params: {
    location: location
    tags: tags
    namespaceName: names.eventHubs
    hubName: names.hub
    private: privateNetwork
  }
}

module demo 'app/demo-vault.bicep' = if (demoVault) {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.demoVault
    keyName: names.demoKey
    operatorPrincipalId: empty(operatorPrincipalId) ? deployer().objectId : operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
  }
}

module roles 'app/roles.bicep' = {
  scope: group
  params: {
    appPrincipalId: identity.outputs.app.principalId
    deliveryPrincipalId: identity.outputs.delivery.principalId
    storageName: storage.outputs.name
    deadLetterContainer: names.deadLetters
    topicName: topic.outputs.name
    componentName: monitoring.outputs.componentName
    eventHubNamespaceName: auditLog ? names.eventHubs : ''
    hubName: names.hub
  }
  dependsOn: [eventHub]
}

module vaultAccess 'app/vault.bicep' = [
  for vault in allVaults: {
    name: take('pg-cmk-${token}-${vault.name}', 64)
    scope: resourceGroup(vault.?subscriptionId ?? subscription().subscriptionId, vault.resourceGroup)
    params: {
      vaultName: vault.name
      location: vault.?location ?? location
      keyNames: vault.keys
      appPrincipalId: identity.outputs.app.principalId
      auditRuleId: auditLog && (vault.?auditLog ?? true) ? eventHub.?outputs.sendRuleId ?? '' : ''
      auditHubName: names.hub
      newTopicName: contains(vault, 'systemTopic') ? '' : 'evgst-pgcmk-${vault.name}'
      deliveryIdentityId: identity.outputs.delivery.id
      tags: tags
    }
    dependsOn: [demo]
  }
]

module secretRoles 'app/secret-role.bicep' = [
  for one in secrets: {
    name: take('pg-cmk-${token}-${uniqueString(one.vault, one.secret)}', 64)
    scope: resourceGroup(one.?subscriptionId ?? subscription().subscriptionId, one.resourceGroup)
    params: {
      vaultName: one.vault
      secretName: one.secret
      appPrincipalId: identity.outputs.app.principalId
    }
  }
]

module network 'app/network.bicep' = if (privateNetwork) {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.network
    addressSpace: addressSpace
    storageName: storage.outputs.name
    topicName: topic.outputs.name
    eventHubNamespaceName: auditLog ? names.eventHubs : ''
    vaults: allVaults
  }
  dependsOn: [demo, eventHub]
}

module app 'app/function-app.bicep' = {
  scope: group
  // The first start of the app makes its tables and queues: by then the roles are there.
  dependsOn: [roles, secretRoles]
  params: {
    location: location
    tags: tags
    planName: names.plan
    name: names.app
    serviceName: 'app'
    identity: { id: identity.outputs.app.id, clientId: identity.outputs.app.clientId }
    storageName: storage.outputs.name
    packageContainer: names.packages
    telemetryConnectionString: monitoring.outputs.connectionString
    topicEndpoint: topic.outputs.endpoint
    auditHubName: auditLog ? names.hub : ''
    auditHubHost: eventHub.?outputs.host ?? ''
    nodeVersion: nodeVersion
    maxInstances: maxInstances
    instanceMemoryMb: instanceMemoryMb
    alwaysReady: alwaysReady
    authIssuer: authIssuer
    authAudience: authAudience
    secrets: secrets
    settings: settings
    subnetId: network.?outputs.appSubnetId ?? ''
  }
}

module actionGroup 'app/action-group.bicep' = {
  scope: group
  params: { tags: tags, name: names.actionGroup, emails: alertEmails }
}

module alerts 'app/alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    namePrefix: 'pgcmk-${token}'
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: actionGroup.outputs.id
    runbookUrl: runbookUrl
    patienceMinutes: patienceMinutes
  }
}

module ownDeadLetterAlert 'app/dead-letter-alert.bicep' = {
  scope: group
  params: {
    tags: tags
    name: 'pgcmk-${token}-dead-letters'
    systemTopicName: ''
    customTopicName: topic.outputs.name
    actionGroupId: actionGroup.outputs.id
    runbookUrl: runbookUrl
  }
}

module vaultDeadLetterAlerts 'app/dead-letter-alert.bicep' = [
  for one in systemTopics: {
    name: take('pg-cmk-${token}-alert-${one.name}', 64)
    scope: resourceGroup(one.subscriptionId, one.resourceGroup)
    dependsOn: [vaultAccess]
    params: {
      tags: tags
      name: 'pgcmk-${token}-${one.name}'
      systemTopicName: one.name
      customTopicName: ''
      actionGroupId: actionGroup.outputs.id
      runbookUrl: runbookUrl
    }
  }
]

module workbook 'app/workbook.bicep' = {
  scope: group
  params: { location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

// azd keeps these in its environment; scripts/postdeploy.ts and subscriptions.bicepparam read them from there.
output AZURE_RESOURCE_GROUP string = group.name
output PGCMK_DEPLOY_FUNCTION_APP string = app.outputs.name
output PGCMK_DEPLOY_URL string = 'https://${app.outputs.host}/api'
output PGCMK_DEPLOY_TOPIC string = topic.outputs.name
output PGCMK_DEPLOY_STORAGE string = storage.outputs.name
output PGCMK_DEPLOY_DEAD_LETTERS string = names.deadLetters
output PGCMK_DEPLOY_DELIVERY_IDENTITY string = identity.outputs.delivery.id
output PGCMK_DEPLOY_SYSTEM_TOPICS string = string(systemTopics)
// azd down deletes every group that the deployment reached into: scripts/predown.ts refuses while there are others.
output PGCMK_DEPLOY_OTHER_GROUPS string = join(
  union(map(vaults, vault => vault.resourceGroup), map(secrets, one => one.resourceGroup)),
  ','
)
output PGCMK_DEPLOY_EVENT_FUNCTIONS string = join(map(concat(vaultEvents, ownEvents), event => event.function), ',')
output PGCMK_DEPLOY_DEMO_KEY string = demoVault
  ? 'https://${names.demoVault}${environment().suffixes.keyvaultDns}/keys/${names.demoKey}'
  : ''
