// What `azd provision` has put out, from the azd environment.
using 'subscriptions.bicep'

param resourceGroupName = readEnvironmentVariable('AZURE_RESOURCE_GROUP', '')
param functionAppName = readEnvironmentVariable('PGCMK_DEPLOY_FUNCTION_APP', '')
param customTopicName = readEnvironmentVariable('PGCMK_DEPLOY_TOPIC', '')
param storageName = readEnvironmentVariable('PGCMK_DEPLOY_STORAGE', '')
param deadLetterContainer = readEnvironmentVariable('PGCMK_DEPLOY_DEAD_LETTERS', '')
param deliveryIdentityId = readEnvironmentVariable('PGCMK_DEPLOY_DELIVERY_IDENTITY', '')
param systemTopics = json(readEnvironmentVariable('PGCMK_DEPLOY_SYSTEM_TOPICS', '[]'))
