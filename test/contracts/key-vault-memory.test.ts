import { parseKekId } from '../../shared/domain/key-id.ts';
import type { VaultFault } from '../../shared/domain/vault-answer.ts';
import { FakeKeyVault, httpFault } from '../fakes/key-vault.ts';
import { FakeClock } from '../fakes/runtime.ts';
import { describeKeyVaultContract, type Trouble } from './key-vault.ts';

const kek = parseKekId('contoso.vault.azure.net', 'orders');

const OUTAGES: Partial<Record<Trouble, VaultFault>> = {
  throttled: httpFault(429, 'Throttled'),
  error503: httpFault(503, 'ServiceUnavailable'),
  timeout: { kind: 'network', cause: 'timeout' },
  refused: { kind: 'network', cause: 'refused' },
  reset: { kind: 'network', cause: 'reset' },
  garbage: { kind: 'answer', what: 'garbage' },
  wrongKey: { kind: 'answer', what: 'another key' },
};

describeKeyVaultContract('the fake', async () => {
  const clock = new FakeClock();
  const vault = new FakeKeyVault(clock);
  return {
    vault,
    localWrap: vault,
    kek,
    now: () => clock.now(),
    async createVersion({ hsm = false, ...options } = {}) {
      return vault.createVersion(kek, { ...options, keyType: hsm ? 'RSA-HSM' : 'RSA' });
    },
    updateVersion: async (version, change) => vault.update(kek, version, change),
    deleteKey: async () => vault.deleteKey(kek),
    recoverKey: async () => vault.recoverKey(kek),
    purgeKey: async () => vault.purgeKey(kek),
    async trouble(trouble) {
      if (trouble === null) return vault.healVault(kek.vault);
      const outage = OUTAGES[trouble] ?? null;
      vault.setVault(kek.vault, { outage, forbidden: outage === null ? trouble : null });
    },
  };
});
