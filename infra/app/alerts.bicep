// What somebody must hear of. docs/infrastructure.md says what each one means; the metrics are the app's own.
param location string
param tags object
param namePrefix string
param workspaceId string
param actionGroupId string

@description('Where the runbook is, for the links in the alerts.')
param runbookUrl string

@description('A server may be in Revoking or Suspect so long, in minutes, before somebody is told.')
@allowed([5, 10, 15, 30, 45, 60])
param patienceMinutes int

var serversIn = 'AppMetrics | where Name == "pgcmk.servers" | extend Is = tostring(Properties.state) | where Is == '
var patience = 'PT${patienceMinutes}M'
// A gauge tells every minute how many there are. All minutes of the window, so none in which there was nobody.
var always = '| summarize Most = max(Max) by bin(TimeGenerated, 1m) | summarize Minutes = countif(Most > 0) | where Minutes >= ${patienceMinutes} - 1'

var rules = [
  {
    name: 'access-lost'
    title: 'Servers have lost access'
    severity: 1
    window: 'PT5M'
    every: 'PT1M'
    query: '${serversIn}"Inaccessible" | summarize Servers = max(Max) | where Servers > 0'
    runbook: 'keydisabled'
  }
  {
    name: 'revoking-stuck'
    title: 'A server still has access that it should not have'
    severity: 0
    window: patience
    every: 'PT5M'
    query: '${serversIn}"Revoking" ${always}'
    runbook: 'accessnotapplied'
  }
  {
    name: 'suspect-long'
    title: 'A key gives no good answer, and its servers are still served'
    severity: 2
    window: patience
    every: 'PT5M'
    query: '${serversIn}"Suspect" ${always}'
    runbook: 'accessdenied'
  }
  {
    name: 'rotation-blocked'
    title: 'A rotation is blocked or halted'
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    query: 'AppMetrics | where Name == "pgcmk.rotation.age" and tostring(Properties.state) in ("blocked", "halted") | summarize Keys = dcount(tostring(Properties.kek)) | where Keys > 0'
    runbook: 'keknotproven'
  }
  {
    name: 'rotation-overdue'
    title: 'A rotation has been running for more than a day'
    severity: 3
    window: 'PT1H'
    every: 'PT15M'
    query: 'AppMetrics | where Name == "pgcmk.rotation.age" | summarize Seconds = max(Max) by Kek = tostring(Properties.kek) | where Seconds > 86400'
    runbook: 'throttled'
  }
  {
    name: 'key-near-expiry'
    title: 'A key version in use expires within ten days'
    severity: 2
    window: 'PT1H'
    every: 'PT1H'
    query: 'AppMetrics | where Name == "pgcmk.kek.expiry" | summarize Seconds = min(Min) by Version = tostring(Properties.version) | where Seconds < 864000'
    runbook: 'keyexpired'
  }
  {
    name: 'message-poisoned'
    title: 'A message failed on its last attempt'
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    query: 'AppMetrics | where Name == "pgcmk.poison" | summarize Messages = sum(Sum) | where Messages > 0'
    runbook: 'invalidmessage'
  }
  {
    name: 'audit-broken'
    title: 'A chain of the audit does not hold together'
    severity: 1
    window: 'PT1H'
    every: 'PT15M'
    query: 'AppTraces | where Message has "a chain of the audit does not hold together" | summarize Lines = count() | where Lines > 0'
    runbook: 'invalidrow'
  }
  {
    name: 'audit-not-delivered'
    title: 'Audit records or own events are not delivered'
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    query: 'AppTraces | where Message has "the outbox could not be delivered" | summarize Minutes = dcount(bin(TimeGenerated, 1m)) | where Minutes >= 10'
    runbook: 'publishfailed'
  }
]

// These look for what is missing: no row is an answer, so the count itself is compared.
var absences = [
  {
    name: 'probe-not-running'
    title: 'No key has been probed for five minutes'
    severity: 0
    window: 'PT5M'
    every: 'PT5M'
    query: 'AppRequests | where Name == "probeKeks" and Success == true'
    runbook: 'vaultunavailable'
  }
  {
    name: 'export-missing'
    title: 'The tables have not been exported for two days'
    severity: 2
    window: 'P2D'
    every: 'PT6H'
    query: 'AppTraces | where Message has "the tables were exported"'
    runbook: 'storeunavailable'
  }
]

resource found 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: '${namePrefix}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'pg-cmk: ${rule.title}'
      description: '${runbookUrl}#${rule.runbook}'
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.every
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      // The tables of a new workspace come with the first line that is written.
      skipQueryValidation: true
      actions: {
        actionGroups: [actionGroupId]
        customProperties: { runbook: '${runbookUrl}#${rule.runbook}' }
      }
    }
  }
]

resource missing 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in absences: {
    name: '${namePrefix}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'pg-cmk: ${rule.title}'
      description: '${runbookUrl}#${rule.runbook}'
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.every
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'LessThan'
            threshold: 1
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      skipQueryValidation: true
      actions: {
        actionGroups: [actionGroupId]
        customProperties: { runbook: '${runbookUrl}#${rule.runbook}' }
      }
    }
  }
]
