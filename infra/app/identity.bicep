// Two identities: the app's own, and one that only writes what Event Grid could not deliver.
param location string
param tags object
param appName string
param deliveryName string

resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
  tags: tags
}

resource delivery 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: deliveryName
  location: location
  tags: tags
}

output app { id: string, principalId: string, clientId: string } = {
  id: app.id
  principalId: app.properties.principalId
  clientId: app.properties.clientId
}

output delivery { id: string, principalId: string } = {
  id: delivery.id
  principalId: delivery.properties.principalId
}
