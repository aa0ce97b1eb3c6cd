// One server under test: a process with a free port, a data directory of its own and known secrets.
//
// It inherits nothing from our environment but what sanitizers read, so that a PORT or DB_HOST of the machine
// cannot change a test. Back-offs are off and limits are out of the way unless a test asks for them.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const BINARY = process.env.REALTIME_BINARY ?? fileURLToPath(new URL('../../build/release/realtime', import.meta.url));
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

const SECRET = 'e2e tenant secret, long enough for HMAC';
const METRICS_SECRET = 'e2e metrics secret, long enough for HMAC';

const PASSED_ON = ['PATH', 'ASAN_OPTIONS', 'LSAN_OPTIONS', 'TSAN_OPTIONS', 'UBSAN_OPTIONS', 'LLVM_PROFILE_FILE'];

const DEFAULT_ENV = {
  API_JWT_SECRET: SECRET,
  METRICS_JWT_SECRET: METRICS_SECRET,
  SEED_SELF_HOST: 'true',
  CONNECT_ERROR_BACKOFF_MS: 0,
  CHANNEL_ERROR_BACKOFF_MS: 0,
  DRAIN_DELAY_MS: 0,
  TENANT_MAX_CONCURRENT_USERS: 1_000_000,
  TENANT_MAX_CHANNELS_PER_CLIENT: 10_000,
  TENANT_MAX_EVENTS_PER_SECOND: 10_000_000,
  TENANT_MAX_JOINS_PER_SECOND: 1_000_000,
  TENANT_MAX_PRESENCE_EVENTS_PER_SECOND: 10_000_000,
};

// No server outlives the tests, however they end.
const running = new Set();
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.on('exit', () => {
  for (const server of running) {
    server.signal('SIGKILL');
    if (server.ownsDataDir) rmSync(server.dataDir, { recursive: true, force: true });
  }
});

// Waits until `condition()` is truthy (it may be asynchronous) and returns what it gave.
export async function until(condition, message, timeoutMs = 10_000) {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(10)) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${message}`);
  }
}

// A JWT signed by HMAC. Claims that are undefined are left out; `header` adds members, a `kid` for example.
export function mintToken(secret, claims, { alg = 'HS256', header = {} } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg, typ: 'JWT', ...header })}.${part(claims)}`;
  return `${signed}.${createHmac(`sha${alg.slice(2)}`, secret).update(signed).digest('base64url')}`;
}

export const secondsFromNow = (seconds) => Math.floor(Date.now() / 1000) + seconds;

// `env` goes over the defaults above; a value of undefined takes a default away. `defaultTenant` null: hosts that
// match no tenant are refused. A `dataDir` that is given outlives the server.
// otherTenants: {name: {secret, columns}}, where columns are values to set in its row of the store.
export async function startServer({
  workers = Number(process.env.RT_TEST_WORKERS ?? 1),
  env = {},
  args = [],
  dataDir,
  tenant = 'dev',
  defaultTenant = tenant,
  otherTenants = {},
  debugEcho = false,
} = {}) {
  const server = new Server({ ...DEFAULT_ENV, SELF_HOST_TENANT_NAME: tenant, ...env });
  server.ownsDataDir = dataDir === undefined;
  server.dataDir = dataDir ?? (await mkdtemp(join(tmpdir(), 'realtime-e2e-')));
  for (const [name, settings] of Object.entries(otherTenants)) await seedTenant(server.dataDir, name, settings);
  await server.start([
    ...['--listen', server.host, '--port', '0', '--data-dir', server.dataDir, '--workers', String(workers)],
    ...(defaultTenant === null ? [] : ['--default-tenant', defaultTenant]),
    ...(debugEcho ? ['--debug-echo'] : []),
    ...(process.env.RT_TEST_SEND ? ['--send', process.env.RT_TEST_SEND] : []),
    ...args,
  ]);
  return server;
}

// A server seeds one tenant and keeps those of earlier starts, so each further tenant takes a start of its own.
async function seedTenant(dataDir, tenant, { secret = SECRET, columns = {} }) {
  const server = await startServer({ dataDir, tenant, env: { API_JWT_SECRET: secret } });
  await server.stop();
  if (Object.keys(columns).length === 0) return;
  const { DatabaseSync } = await import('node:sqlite');
  const store = new DatabaseSync(join(dataDir, 'control.sqlite'));
  for (const [column, value] of Object.entries(columns)) {
    store.prepare(`UPDATE tenants SET ${column} = ? WHERE external_id = ?`).run(value, tenant);
  }
  store.close();
}

class Server {
  host = '127.0.0.1';
  binary = BINARY;
  log = '';

  constructor(env) {
    this.env = env;
    this.secret = env.API_JWT_SECRET;
    this.metricsSecret = env.METRICS_JWT_SECRET;
  }

  get url() {
    return `http://${this.host}:${this.port}`;
  }

  get pid() {
    return this.child.pid;
  }

  async start(args) {
    const readyFile = join(this.dataDir, 'ready');
    await rm(readyFile, { force: true });
    this.spawn(['serve', '--ready-file', readyFile, ...args]);
    try {
      [this.port, this.tlsPort] = await until(() => this.portsFrom(readyFile), 'the ready file', START_TIMEOUT_MS);
    } catch (error) {
      await this.stop({ signal: 'SIGKILL' });
      throw new Error(`the server did not start: ${error.message}\n${this.log}`);
    }
  }

  spawn(args) {
    const passedOn = PASSED_ON.filter((name) => name in process.env).map((name) => [name, process.env[name]]);
    const ours = Object.entries(this.env).filter(([, value]) => value !== undefined);
    this.child = spawn(BINARY, args, {
      env: Object.fromEntries([...passedOn, ...ours]),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.log += text));
    }
    // Resolves with the exit code, or the name of the signal that ended the process.
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => resolve((this.log += error.message)));
      this.child.on('close', (code, signal) => resolve(code ?? signal));
    }).then((end) => {
      running.delete(this);
      this.ended = true;
      return end;
    });
  }

  // The port, and that of TLS where there is one.
  async portsFrom(readyFile) {
    if (this.ended) throw new Error('the process ended');
    const text = await readFile(readyFile, 'utf8').catch(() => '');
    return text && text.trim().split('\n').map(Number);
  }

  token(claims = {}, { secret = this.secret, ...options } = {}) {
    return mintToken(secret, { role: 'authenticated', exp: secondsFromNow(3600), ...claims }, options);
  }

  // null for `vsn` or `token` leaves the parameter out.
  socketUrl({ vsn = '2.0.0', token = this.token(), path = '/socket/websocket', params = {} } = {}) {
    const query = new URLSearchParams(params);
    if (vsn !== null) query.set('vsn', vsn);
    if (token !== null) query.set('apikey', token);
    return `ws://${this.host}:${this.port}${path}?${query}`;
  }

  async metrics() {
    const authorization = `Bearer ${this.token({}, { secret: this.metricsSecret })}`;
    const response = await fetch(`${this.url}/metrics`, { headers: { authorization, connection: 'close' } });
    if (response.status !== 200) throw new Error(`GET /metrics: ${response.status}`);
    return new Metrics(await response.text());
  }

  signal(name) {
    this.child.kill(name);
  }

  // Resolves with the exit code. A server that does not obey is killed, which is an error.
  async stop({ signal = 'SIGTERM', keep = false } = {}) {
    this.signal(signal);
    const end = await Promise.race([this.exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    if (!this.ended) {
      this.signal('SIGKILL');
      await this.exited;
    }
    if (this.ownsDataDir && !keep) await rm(this.dataDir, { recursive: true, force: true });
    if (end === undefined) throw new Error(`the server ignored ${signal}\n${this.log}`);
    return end;
  }
}

// The samples of a Prometheus text page.
class Metrics extends Array {
  static get [Symbol.species]() {
    return Array;
  }

  constructor(text) {
    super();
    for (const line of text.split('\n')) {
      const sample = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!sample) continue;
      const labels = [...(sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key, value]);
      this.push({ name: sample[1], labels: Object.fromEntries(labels), value: Number(sample[3]) });
    }
  }

  // The sum of all series of that name that carry these labels; 0 when there is none.
  value(name, labels = {}) {
    const wanted = Object.entries(labels);
    return this.filter((sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value))
      .map((sample) => sample.value)
      .reduce((sum, value) => sum + value, 0);
  }
}
