// Where each route of the HTTP API is, under the name of its function: all that registering takes. What goes in and what
// comes out is loaded by the first request.
export const paths = {
  listServers: { method: 'GET', path: 'servers' },
  registerServer: { method: 'PUT', path: 'servers/{serverId}' },
  readServer: { method: 'GET', path: 'servers/{serverId}' },
  deleteServer: { method: 'DELETE', path: 'servers/{serverId}' },
  revalidateServer: { method: 'POST', path: 'servers/{serverId}/revalidate' },
  revokeServer: { method: 'POST', path: 'servers/{serverId}/revoke' },
  restoreServer: { method: 'POST', path: 'servers/{serverId}/restore' },
  drillServer: { method: 'POST', path: 'servers/{serverId}/drill' },
  moveServer: { method: 'PUT', path: 'servers/{serverId}/key' },
  copyServer: { method: 'POST', path: 'servers/{serverId}/copies' },
  releaseDek: { method: 'POST', path: 'servers/{serverId}/dek' },
  listKeys: { method: 'GET', path: 'keys' },
  readKey: { method: 'GET', path: 'keys/{vault}/{name}' },
  changePolicy: { method: 'PATCH', path: 'keys/{vault}/{name}' },
  revokeKey: { method: 'POST', path: 'keys/{vault}/{name}/revoke' },
  restoreKey: { method: 'POST', path: 'keys/{vault}/{name}/restore' },
  readImpact: { method: 'GET', path: 'keys/{vault}/{name}/impact' },
  startRewrap: { method: 'POST', path: 'keys/{vault}/{name}/rewrap' },
  retireVersion: { method: 'POST', path: 'keys/{vault}/{name}/versions/{version}/retire' },
  readAudit: { method: 'GET', path: 'audit' },
  readSigningKeys: { method: 'GET', path: 'signing-keys' },
  clearBreaker: { method: 'POST', path: 'breaker/clear' },
  readHealth: { method: 'GET', path: 'health' },
  readOpenApi: { method: 'GET', path: 'openapi.json' },
} as const;

export type RouteName = keyof typeof paths;
