// Where logs, metrics and traces go. Telemetry is taken from identities only.
param location string
param tags object
param workspaceName string
param componentName string

@minValue(30)
@maxValue(730)
param retentionDays int

@description('Most that is taken in on a day; -1: no limit. Audit lines come the same way, so a limit can lose them.')
param dailyCapGb int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyCapGb }
    features: { disableLocalAuth: true }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

output componentName string = component.name
output connectionString string = component.properties.ConnectionString
output workspaceId string = workspace.id
