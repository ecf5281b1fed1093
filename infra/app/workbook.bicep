// The fleet on one page, from the metrics and traces of the app.
param location string
param tags object
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'pg-cmk')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'pg-cmk fleet'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('workbook.json')
  }
}
