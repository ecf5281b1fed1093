// What main.bicep and subscriptions.bicep both need to know: the shape of the parameters, and which function takes
// which event. Nothing is deployed from here.

@export()
@description('A vault with keys of customers. It stays theirs: nothing in it is made or changed but roles, logs and topic.')
type vaultType = {
  name: string

  @description('Resource group of the vault.')
  resourceGroup: string

  @description('Subscription of the vault. Without it: the one that is deployed to.')
  subscriptionId: string?

  @description('Region of the vault. Without it: the region of the app.')
  location: string?

  @description('Names of the keys that the app may use. The role is given on each of them, not on the vault.')
  @minLength(1)
  keys: string[]

  @description('Name of a system topic of this vault that is there already: a vault can have one only.')
  systemTopic: string?

  @description('Whether the audit log is streamed to the app. Only a vault in the region of the app can: false for others.')
  auditLog: bool?
}

@export()
@description('A secret that the app reads: the signing key, or the password of a server.')
type secretType = {
  @description('Name of the setting: PGCMK_SIGNING_KEY, or one that begins with PGCMK_SECRET_.')
  setting: string

  @description('Name of the vault. Keep it apart from the vaults of customers.')
  vault: string

  resourceGroup: string

  @description('Without it: the subscription that is deployed to.')
  subscriptionId: string?

  secret: string
}

@export()
@description('Instances that are kept warm, of one function (`function:NAME`) or of all HTTP functions (`http`).')
type alwaysReadyType = {
  name: string

  @minValue(0)
  @maxValue(20)
  instanceCount: int
}

@export()
@description('Where the events of a vault come from, for subscriptions.bicep.')
type systemTopicType = {
  name: string
  resourceGroup: string
  subscriptionId: string
}

@export()
@description('The events of Key Vault, and the function that takes each.')
var vaultEvents = [
  { function: 'keyNewVersionCreated', eventType: 'Microsoft.KeyVault.KeyNewVersionCreated' }
  { function: 'keyNearExpiry', eventType: 'Microsoft.KeyVault.KeyNearExpiry' }
  { function: 'keyExpired', eventType: 'Microsoft.KeyVault.KeyExpired' }
  { function: 'vaultAccessPolicyChanged', eventType: 'Microsoft.KeyVault.VaultAccessPolicyChanged' }
]

@export()
@description('The events of the app\'s own topic that the app itself takes.')
var ownEvents = [
  { function: 'keyDisabled', eventType: 'PgCmk.KeyStatusHint' }
]
