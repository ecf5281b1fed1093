// The account with the app's tables, queues and blobs. No key opens it: identities only.
param location string
param tags object
param name string

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param sku string

@description('Whether only private endpoints and Event Grid reach it.')
param private bool

@description('How long deleted and overwritten blobs can be had back.')
@minValue(7)
@maxValue(365)
param undeleteDays int

@description('How long an export of the tables can be neither changed nor deleted.')
@minValue(1)
@maxValue(3650)
param exportImmutableDays int

@description('Name of the container of the app\'s package.')
param packageContainer string

@description('Name of the container of events that could not be delivered.')
param deadLetterContainer string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    // Event Grid writes dead letters as a trusted service, also where the public is kept out.
    networkAcls: { bypass: 'AzureServices', defaultAction: private ? 'Deny' : 'Allow' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: { enabled: true, days: undeleteDays }
    containerDeleteRetentionPolicy: { enabled: true, days: undeleteDays }
  }
}

@description('The first wrapping of every DEK. Versions and soft delete keep what anyone overwrites or deletes.')
resource escrow 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'dek-escrow'
  properties: { publicAccess: 'None' }
}

@description('The daily exports of the tables.')
resource exports 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'table-exports'
  // Per version of a blob: newest.json is written again with every export, and the version before it stays.
  properties: { publicAccess: 'None', immutableStorageWithVersioning: { enabled: true } }
}

resource exportsImmutable 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-06-01' = {
  parent: exports
  name: 'default'
  properties: { immutabilityPeriodSinceCreationInDays: exportImmutableDays }
}

resource package 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: packageContainer
  properties: { publicAccess: 'None' }
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: deadLetterContainer
  properties: { publicAccess: 'None' }
}

// Versions and packages of years would be paid for by the gigabyte. The escrow and the exports are not touched.
resource tidy 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        {
          name: 'old-packages-and-dead-letters'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['${packageContainer}/', '${deadLetterContainer}/'] }
            actions: {
              version: { delete: { daysAfterCreationGreaterThan: 90 } }
            }
          }
        }
      ]
    }
  }
}

output id string = account.id
output name string = account.name
