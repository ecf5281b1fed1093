// Optional: a network for the app, and private ways to its storage, its event hub, its topic and the vaults.
import { vaultType } from '../types.bicep'

param location string
param tags object
param name string

@description('Two subnets of it are used: one for the app, one for private endpoints.')
param addressSpace string

param storageName string
param topicName string

@description('Empty: there is no event hub.')
param eventHubNamespaceName string

param vaults vaultType[]

var appSubnetName = 'app'
var endpointSubnetName = 'endpoints'

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressSpace] }
    subnets: [
      {
        name: appSubnetName
        properties: {
          addressPrefix: cidrSubnet(addressSpace, 26, 0)
          delegations: [{ name: 'app', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: endpointSubnetName
        properties: { addressPrefix: cidrSubnet(addressSpace, 26, 1) }
      }
    ]
  }
}

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
}

var storageHost = environment().suffixes.storage
var zoneOf = {
  blob: 'privatelink.blob.${storageHost}'
  queue: 'privatelink.queue.${storageHost}'
  table: 'privatelink.table.${storageHost}'
  topic: 'privatelink.eventgrid.azure.net'
  #disable-next-line no-hardcoded-env-urls
  namespace: 'privatelink.servicebus.windows.net'
  vault: 'privatelink.${replace(environment().suffixes.keyvaultDns, '.vault.', 'vaultcore.')}'
}

var targets = concat(
  map(['blob', 'queue', 'table'], service => { name: 'storage-${service}', resourceId: storage.id, group: service }),
  [{ name: 'topic', resourceId: topic.id, group: 'topic' }],
  empty(eventHubNamespaceName)
    ? []
    : [
        {
          name: 'event-hub'
          resourceId: resourceId('Microsoft.EventHub/namespaces', eventHubNamespaceName)
          group: 'namespace'
        }
      ],
  map(vaults, vault => {
    name: 'vault-${vault.name}'
    resourceId: resourceId(
      vault.?subscriptionId ?? subscription().subscriptionId,
      vault.resourceGroup,
      'Microsoft.KeyVault/vaults',
      vault.name
    )
    group: 'vault'
  })
)
// One zone for all endpoints of a kind.
var groups = union(map(targets, target => target.group), [])

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for group in groups: {
    name: zoneOf[group]
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (group, index) in groups: {
    parent: zones[index]
    name: name
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for target in targets: {
    name: '${name}-${target.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: resourceId('Microsoft.Network/virtualNetworks/subnets', network.name, endpointSubnetName) }
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: { privateLinkServiceId: target.resourceId, groupIds: [target.group] }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (target, index) in targets: {
    parent: endpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: target.group
          properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zoneOf[target.group]) }
        }
      ]
    }
    dependsOn: [zones]
  }
]

output appSubnetId string = resourceId('Microsoft.Network/virtualNetworks/subnets', network.name, appSubnetName)
