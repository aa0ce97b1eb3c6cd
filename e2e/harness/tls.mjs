// Certificates for one test, made by the openssl program, and a server that speaks TLS with one of them.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from './phoenix.mjs';
import { startServer } from './server.mjs';

const run = promisify(execFile);

const KEYS = { ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], rsa: ['rsa:2048'] };

// A self-signed certificate for localhost: {certificate, key} are paths, `pem` is the certificate itself.
export async function makeCertificate(directory, { name = 'server', kind = 'ec', days = 365, passphrase } = {}) {
  const [certificate, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  await run('openssl', [
    ...['req', '-x509', '-newkey', ...KEYS[kind], '-days', String(days), '-subj', `/CN=${name}`],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-out', certificate, '-keyout', key],
    ...(passphrase ? ['-passout', `pass:${passphrase}`] : ['-nodes']),
  ]);
  return { certificate, key, pem: await readFile(certificate) };
}

export async function temporaryDirectory(t) {
  const directory = await mkdtemp(join(tmpdir(), 'realtime-tls-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export const tlsFlags = ({ certificate, key }) => ['--tls-port', '0', '--tls-cert', certificate, '--tls-key', key];

// A server with both ports. `secure` is like it for connect(), by TLS; `ca` is what trusts it.
export async function startTlsServer(t, { certificate = {}, args = [], ...options } = {}) {
  const directory = await temporaryDirectory(t);
  const files = await makeCertificate(directory, certificate);
  const server = await startServer({ ...options, args: [...tlsFlags(files), ...args] });
  t.after(() => server.ended || server.stop());
  return { server, directory, files, ca: files.pem, origin: `https://localhost:${server.tlsPort}` };
}

// As connect(), by TLS.
export function connectByTls({ server, ca }, options = {}) {
  const secure = { socketUrl: (wanted) => server.socketUrl(wanted).replace(`ws://${server.host}:${server.port}`, `wss://localhost:${server.tlsPort}`) };
  return connect(secure, { ca, ...options });
}
