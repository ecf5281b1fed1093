// Who is told.
param tags object
param name string
param emails string[]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'pg-cmk'
    enabled: true
    emailReceivers: map(emails, email => { name: email, emailAddress: email, useCommonAlertSchema: true })
  }
}

output id string = group.id
