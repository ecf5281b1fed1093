// The app, on Flex Consumption: each function but the HTTP ones scales by itself.
import { alwaysReadyType, secretType } from '../types.bicep'

param location string
param tags object
param planName string
param name string

@description('The name by which azd finds the app that a package belongs to.')
param serviceName string

param identity { id: string, clientId: string }
param storageName string
param packageContainer string
param telemetryConnectionString string
param topicEndpoint string

@description('Empty: the audit log of the vaults is not read.')
param auditHubName string
param auditHubHost string

@allowed(['22', '24'])
param nodeVersion string

@description('Most instances of each function beside the ones that are always ready. rewrapDeks takes its part of a vault by it.')
@minValue(1)
@maxValue(1000)
param maxInstances int

@allowed([512, 2048, 4096])
param instanceMemoryMb int

param alwaysReady alwaysReadyType[]

@description('Empty: the HTTP API answers 503.')
param authIssuer string
param authAudience string

param secrets secretType[]

@description('Other settings, by name.')
param settings object

@description('Empty: no network of its own.')
param subnetId string

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

var storageSuffix = environment().suffixes.storage

// Settings of the host and of the exporter: they name the identity, since there may be several.
var hostSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: telemetryConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.clientId};Authorization=AAD'
  // The exporter's reports about itself would go to Microsoft, past the workspace.
  APPLICATION_INSIGHTS_NO_STATSBEAT: 'true'
}
var appSettings = {
  AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${storageSuffix}'
  AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${storageSuffix}'
  AzureWebJobsStorage__tableServiceUri: 'https://${storageName}.table.${storageSuffix}'
  PGCMK_CREDENTIAL: 'managedIdentity'
  AZURE_CLIENT_ID: identity.clientId
  // The vaults of this cloud and no others. The suffix of the environment begins with a dot.
  PGCMK_KEY_VAULT_DNS_SUFFIXES: substring(environment().suffixes.keyvaultDns, 1)
  PGCMK_MAX_INSTANCES: string(maxInstances)
  PGCMK_EVENT_TOPIC_ENDPOINT: topicEndpoint
  PGCMK_TELEMETRY: 'azureMonitor'
}
var auditSettings = empty(auditHubName)
  ? {}
  : {
      PGCMK_AUDIT_EVENT_HUB: auditHubName
      AuditEventHub__fullyQualifiedNamespace: auditHubHost
      AuditEventHub__credential: 'managedidentity'
      AuditEventHub__clientId: identity.clientId
    }
var authSettings = empty(authIssuer) ? {} : { PGCMK_AUTH_ISSUER: authIssuer, PGCMK_AUTH_AUDIENCE: authAudience }
var secretSettings = toObject(
  secrets,
  one => one.setting,
  one => '@Microsoft.KeyVault(VaultName=${one.vault};SecretName=${one.secret})'
)
var allSettings = union(settings, hostSettings, appSettings, auditSettings, authSettings, secretSettings)

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': serviceName })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    // Event Grid and the callers of the API come in here.
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      runtime: { name: 'node', version: nodeVersion }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maxInstances
        instanceMemoryMB: instanceMemoryMb
        alwaysReady: alwaysReady
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      // Every setting there is: what was set by hand is gone after the next deployment.
      appSettings: map(items(allSettings), one => { name: one.key, value: one.value })
    }
  }

  // No user name and password for the deployment endpoints.
  resource scmCredentials 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource ftpCredentials 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }
}

output id string = app.id
output name string = app.name
output host string = app.properties.defaultHostName
