// Tells of events that a topic could not deliver. In the resource group of the topic, where its metrics are.
param tags object
param name string

@description('Name of the system topic; empty: the topic is a custom one.')
param systemTopicName string

@description('Name of the custom topic; empty: the topic is a system topic.')
param customTopicName string
param actionGroupId string
param runbookUrl string

var isSystem = !empty(systemTopicName)

resource alert 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    description: '${runbookUrl}#invalidevent'
    severity: 2
    enabled: true
    scopes: [
      isSystem
        ? resourceId('Microsoft.EventGrid/systemTopics', systemTopicName)
        : resourceId('Microsoft.EventGrid/topics', customTopicName)
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'dead-lettered'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: isSystem ? 'Microsoft.EventGrid/systemTopics' : 'Microsoft.EventGrid/topics'
          metricName: 'DeadLetteredCount'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: [{ actionGroupId: actionGroupId }]
  }
}
