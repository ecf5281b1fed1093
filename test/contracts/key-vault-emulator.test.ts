import { afterAll, beforeAll } from 'vitest';
import type { SwitchesChange } from '../../local/key-vault/switches.ts';
import { startVaultEmulator, type VaultEmulator } from '../../local/key-vault/vault-emulator.ts';
import { systemClock } from '../../shared/azure/runtime.ts';
import { makeKeyVault } from '../../shared/azure/vault/key-vault.ts';
import { makeLocalWrap } from '../../shared/azure/vault/local-wrap.ts';
import { parseKekId } from '../../shared/domain/key-id.ts';
import { CollectingMeter } from '../fakes/telemetry.ts';
import { describeKeyVaultContract, type Trouble } from './key-vault.ts';

let emulator: VaultEmulator;
let opened = 0;

beforeAll(async () => {
  emulator = await startVaultEmulator();
});
afterAll(() => emulator.close());

const WELL: SwitchesChange = { rbac: 'allowed', firewall: 'open', outage: 'none', throttle: 'off' };

const TROUBLES: Record<Trouble, SwitchesChange> = {
  ForbiddenByRbac: { rbac: 'denied', rbacCode: 'ForbiddenByRbac' },
  ForbiddenByPolicy: { rbac: 'denied', rbacCode: 'ForbiddenByPolicy' },
  AccessDenied: { rbac: 'denied', rbacCode: 'AccessDenied' },
  ForbiddenByFirewall: { firewall: 'closed', firewallCode: 'ForbiddenByFirewall' },
  ForbiddenByConnection: { firewall: 'closed', firewallCode: 'ForbiddenByConnection' },
  throttled: { throttle: 1 },
  error503: { outage: 'error503' },
  timeout: { outage: 'timeout' },
  refused: { outage: 'refuse' },
  reset: { outage: 'reset' },
  garbage: { outage: 'garbage' },
  wrongKey: { outage: 'wrongKey' },
};

const toUnix = (date: Date | null | undefined) => (date ? date.getTime() / 1000 : date);

describeKeyVaultContract('the emulator by the SDK', async () => {
  opened += 1;
  const emulated = await emulator.addVault(`contract-${opened}`);
  const kek = parseKekId(emulated.host, 'orders');
  const vault = makeKeyVault({
    credential: {
      getToken: async () => ({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 }),
    },
    verifyChallenge: false,
    limits: { share: 1, maxInstances: 1 },
    probeTimeoutMs: 2_500,
    caPem: emulator.caPem,
    clock: systemClock,
    meter: new CollectingMeter(),
  });
  return {
    vault,
    localWrap: makeLocalWrap(),
    kek,
    now: () => emulated.now(),
    async createVersion({ hsm = false, operations, notBefore, expiresOn, enabled } = {}) {
      const key = await emulated.createKey(kek.name, {
        kty: hsm ? 'RSA-HSM' : 'RSA',
        keyOps: operations,
        nbf: toUnix(notBefore),
        exp: toUnix(expiresOn),
        enabled,
      });
      return key.version;
    },
    async updateVersion(version, { enabled, notBefore, expiresOn }) {
      emulated.updateKey(kek.name, version, { enabled, nbf: toUnix(notBefore), exp: toUnix(expiresOn) });
    },
    deleteKey: async () => emulated.deleteKey(kek.name),
    recoverKey: async () => emulated.recoverKey(kek.name),
    purgeKey: async () => emulated.purgeKey(kek.name),
    async trouble(trouble) {
      await emulated.setSwitches({ ...WELL, ...(trouble === null ? {} : TROUBLES[trouble]) });
      // The one call that the vault still takes.
      if (trouble === 'throttled') await vault.describe(kek);
    },
  };
});
