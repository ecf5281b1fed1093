// The parameters, from the azd environment: `azd env set NAME VALUE`. Lists and objects are JSON.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'pg-cmk')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
param vaults = json(readEnvironmentVariable('PGCMK_DEPLOY_VAULTS', '[]'))
param demoVault = bool(readEnvironmentVariable('PGCMK_DEPLOY_DEMO_VAULT', 'false'))
param auditLog = bool(readEnvironmentVariable('PGCMK_DEPLOY_AUDIT_LOG', 'true'))
param privateNetwork = bool(readEnvironmentVariable('PGCMK_DEPLOY_PRIVATE_NETWORK', 'false'))
param maxInstances = int(readEnvironmentVariable('PGCMK_DEPLOY_MAX_INSTANCES', '2'))
param authIssuer = readEnvironmentVariable('PGCMK_DEPLOY_AUTH_ISSUER', '')
param authAudience = readEnvironmentVariable('PGCMK_DEPLOY_AUTH_AUDIENCE', '')
param secrets = json(readEnvironmentVariable('PGCMK_DEPLOY_SECRETS', '[]'))
param settings = json(readEnvironmentVariable('PGCMK_DEPLOY_SETTINGS', '{}'))
param alertEmails = json(readEnvironmentVariable('PGCMK_DEPLOY_ALERT_EMAILS', '[]'))
param runbookUrl = readEnvironmentVariable('PGCMK_DEPLOY_RUNBOOK_URL', 'docs/runbook.md')
