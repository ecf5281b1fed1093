// One event of one topic, to one function. The function must exist: Event Grid asks for it when this is made.
param functionAppId string
param functionName string
param eventType string

@description('Name of the system topic; empty: the topic is a custom one.')
param systemTopicName string

@description('Name of the custom topic; empty: the topic is a system topic.')
param customTopicName string

@description('Where what can\'t be delivered goes, and as whom.')
param deadLetters { storageId: string, container: string, identityId: string }

var properties = {
  destination: {
    endpointType: 'AzureFunction'
    properties: {
      resourceId: '${functionAppId}/functions/${functionName}'
      maxEventsPerBatch: 1
      preferredBatchSizeInKilobytes: 64
    }
  }
  eventDeliverySchema: 'CloudEventSchemaV1_0'
  filter: { includedEventTypes: [eventType] }
  // An event is a hint: after a day the probe has long seen what it was about.
  retryPolicy: { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }
  deadLetterWithResourceIdentity: {
    identity: { type: 'UserAssigned', userAssignedIdentity: deadLetters.identityId }
    deadLetterDestination: {
      endpointType: 'StorageBlob'
      properties: { resourceId: deadLetters.storageId, blobContainerName: deadLetters.container }
    }
  }
}

resource systemTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!empty(systemTopicName)) {
  name: empty(systemTopicName) ? 'none' : systemTopicName
}

resource ofVault 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (!empty(systemTopicName)) {
  parent: systemTopic
  name: 'pg-cmk-${functionName}'
  properties: properties
}

resource customTopic 'Microsoft.EventGrid/topics@2025-02-15' existing = if (!empty(customTopicName)) {
  name: empty(customTopicName) ? 'none' : customTopicName
}

resource ofOwn 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = if (!empty(customTopicName)) {
  parent: customTopic
  name: 'pg-cmk-${functionName}'
  properties: properties
}
