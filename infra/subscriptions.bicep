// The subscriptions of the Event Grid functions: made after the code is there (scripts/postdeploy.sh), since Event Grid
// refuses one to a function that it can't find. Deploying it again changes nothing.
targetScope = 'subscription'

import { ownEvents, systemTopicType, vaultEvents } from 'types.bicep'

param resourceGroupName string
param functionAppName string
param customTopicName string
param storageName string
param deadLetterContainer string
param deliveryIdentityId string
param systemTopics systemTopicType[]

@description('Tells deployments apart, so that two at once do not collide.')
param suffix string = take(uniqueString(subscription().id, functionAppName), 6)

var functionAppId = resourceId(subscription().subscriptionId, resourceGroupName, 'Microsoft.Web/sites', functionAppName)
var deadLetters = {
  storageId: resourceId(
    subscription().subscriptionId,
    resourceGroupName,
    'Microsoft.Storage/storageAccounts',
    storageName
  )
  container: deadLetterContainer
  identityId: deliveryIdentityId
}
// Every topic with every event: modules have one loop only.
var ofVaults = flatten(map(systemTopics, topic => map(vaultEvents, event => { topic: topic, event: event })))

// One at a time: a topic takes one change at a time, and answers 409 to others.
@batchSize(1)
module vaultSubscriptions 'app/subscription.bicep' = [
  for one in ofVaults: {
    name: take('pg-cmk-${suffix}-${one.event.function}-${one.topic.name}', 64)
    scope: resourceGroup(one.topic.subscriptionId, one.topic.resourceGroup)
    params: {
      functionAppId: functionAppId
      functionName: one.event.function
      eventType: one.event.eventType
      systemTopicName: one.topic.name
      customTopicName: ''
      deadLetters: deadLetters
    }
  }
]

module ownSubscriptions 'app/subscription.bicep' = [
  for event in ownEvents: {
    name: take('pg-cmk-${suffix}-${event.function}', 64)
    scope: resourceGroup(resourceGroupName)
    params: {
      functionAppId: functionAppId
      functionName: event.function
      eventType: event.eventType
      systemTopicName: ''
      customTopicName: customTopicName
      deadLetters: deadLetters
    }
  }
]
