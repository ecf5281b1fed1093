import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { makeLocalCertificates } from '../../local/certificates.ts';

test('a server with the certificate is accepted by who trusts the CA, by name and by address', async () => {
  const { caPem, certPem, keyPem } = await makeLocalCertificates();
  const certificate = new X509Certificate(certPem);
  expect(certificate.checkIssued(new X509Certificate(caPem))).toBe(true);
  expect(certificate.subjectAltName).toContain('DNS:localhost');

  const server = createServer({ cert: certPem, key: keyPem }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  for (const servername of ['localhost', '']) {
    const socket = connect({ port: address.port, host: '127.0.0.1', ca: caPem, servername });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
  }
  const stranger = connect({ port: address.port, host: '127.0.0.1' });
  const [refusal] = await once(stranger, 'error');
  expect(refusal).toHaveProperty('code');
  server.close();
  server.closeAllConnections();
});

test('each call makes its own authority', async () => {
  const [one, other] = await Promise.all([makeLocalCertificates(), makeLocalCertificates()]);
  expect(new X509Certificate(one.certPem).verify(new X509Certificate(other.caPem).publicKey)).toBe(false);
});
