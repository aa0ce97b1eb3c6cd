// A Postgres server of its own for a test file: a fresh cluster in a temporary directory, on loopback.
//
// Postgres refuses to run as root, so there it runs as the user `postgres`, whom Debian's package makes.

import { execFile, spawn } from 'node:child_process';
import { chown, copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './server.mjs';

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';
const PASSWORD = 'e2e password of the superuser';

const running = new Set();
process.on('exit', () => running.forEach((postgres) => postgres.child?.kill('SIGKILL')));

async function binaries() {
  const versions = await readdir(DEBIAN).catch(() => []);
  if (versions.length === 0) throw new Error(`there is no Postgres in ${DEBIAN}: ./dev test installs it`);
  return join(DEBIAN, versions.sort((a, b) => Number(a) - Number(b)).at(-1), 'bin');
}

async function postgresUser() {
  if (process.getuid() !== 0) return {};
  const id = async (flag) => Number((await run('id', [flag, 'postgres'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function newPostgres() {
  const postgres = new Postgres();
  postgres.bin = await binaries();
  postgres.user = await postgresUser();
  postgres.directory = await mkdtemp(join(tmpdir(), 'realtime-postgres-'));
  if (postgres.user.uid !== undefined) await chown(postgres.directory, postgres.user.uid, postgres.user.gid);
  return postgres;
}

// A streaming copy of another one that runs, on another address with the same port.
export async function startStandby(primary) {
  const standby = await newPostgres();
  Object.assign(standby, { host: '127.0.0.2', port: primary.port, settings: primary.settings });
  const from = `host=${primary.host} port=${primary.port} user=postgres password='${PASSWORD}'`;
  await standby.asUser(join(standby.bin, 'pg_basebackup'), ['-D', join(standby.directory, 'data'), '-d', from, '-R', '-c', 'fast', '--no-sync']);
  await standby.start().catch(async (error) => {
    await standby.remove();
    throw error;
  });
  return standby;
}

// `settings` go over those of start(), for as long as it lives.
export async function startPostgres(settings = {}) {
  const postgres = Object.assign(await newPostgres(), { settings });
  await postgres.asUser('bash', [
    '-c',
    'initdb="$1"; shift; exec "$initdb" "$@" --pwfile=<(printf %s "$PW")',
    'initdb',
    join(postgres.bin, 'initdb'),
    ...['-D', join(postgres.directory, 'data'), '-U', 'postgres', '--auth=scram-sha-256', '--no-sync', '-E', 'UTF8', '--locale=C'],
  ]);
  await postgres.start();
  return postgres;
}

class Postgres {
  host = '127.0.0.1';
  password = PASSWORD;

  asUser(program, args) {
    return run(program, args, { ...this.user, cwd: this.directory, env: { PATH: process.env.PATH, PW: PASSWORD, LC_ALL: 'C' } });
  }

  // With a certificate for localhost. Returns the files of the authority that it comes from, and of one that it does not.
  async enableTls() {
    const data = join(this.directory, 'data');
    const make = (name) =>
      this.asUser('openssl', [
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
        ...['-keyout', join(data, `${name}.key`), '-out', join(data, `${name}.crt`)],
      ]);
    for (const name of ['server', 'another']) await make(name);
    await this.sql('ALTER SYSTEM SET ssl = on');
    await this.sql('SELECT pg_reload_conf()');
    await until(async () => (await this.sql('SHOW ssl')) === 'on', 'TLS to be on');
    const readable = async (name) => {
      const copy = join(this.directory, `${name}.pem`);
      await copyFile(join(data, `${name}.crt`), copy);
      return copy;
    };
    return { certificate: await readable('server'), another: await readable('another') };
  }

  // On the port it had before, if it had one. Another program may take a free port before Postgres does.
  async start() {
    for (let attempt = 0; ; ++attempt) {
      this.port ??= await freePort();
      this.log = '';
      const settings = {
        ...{ port: this.port, listen_addresses: this.host, unix_socket_directories: '', fsync: 'off', max_connections: 50 },
        ...this.settings,
      };
      this.child = spawn(
        join(this.bin, 'postgres'),
        ['-D', join(this.directory, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
        { ...this.user, cwd: this.directory, env: { PATH: process.env.PATH, LC_ALL: 'C' } },
      );
      running.add(this);
      for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (data) => (this.log += data));
      this.ended = once(this.child, 'exit').then(() => running.delete(this));
      const isUp = await Promise.race([
        until(() => /ready to accept (read-only )?connections/.test(this.log), 'Postgres to start', 30_000),
        this.ended.then(() => false),
      ]);
      if (isUp) return;
      if (attempt === 5 || !this.log.includes('in use')) throw new Error(`Postgres ended: ${this.log}`);
      this.port = undefined;
    }
  }

  // Like a crash of the machine, only that it comes back: every connection ends at once.
  async stop() {
    this.child.kill('SIGQUIT');
    await this.ended;
  }

  async remove() {
    if (running.has(this)) await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  // A session that stays open between statements, for transactions that wait: {run, close}. As the superuser.
  async openSession(database = 'postgres') {
    const child = spawn(join(this.bin, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1', database], {
      env: { PATH: process.env.PATH, PGHOST: this.host, PGPORT: String(this.port), PGUSER: 'postgres', PGPASSWORD: PASSWORD },
    });
    let [output, errors, statements] = ['', '', 0];
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
    const ended = once(child, 'close').then(() => (child.ended = true));
    // Gives what it printed.
    const run = async (sql, timeoutMs) => {
      const done = `done ${++statements}\n`;
      output = '';
      child.stdin.write(`${sql}\n\\echo ${done}`);
      await until(() => output.endsWith(done) || child.ended, sql, timeoutMs);
      if (child.ended) throw new Error(`psql: ${errors}\n${sql}`);
      return output.slice(0, -done.length).trimEnd();
    };
    const close = () => {
      child.stdin.end();
      return ended;
    };
    await run('SELECT;');
    return { run, close };
  }

  // What psql prints, without alignment: rows as lines, columns separated by |.
  async sql(text, { database = 'postgres' } = {}) {
    const { stdout } = await run(join(this.bin, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', text, database], {
      env: { PATH: process.env.PATH, PGHOST: this.host, PGPORT: String(this.port), PGUSER: 'postgres', PGPASSWORD: PASSWORD },
    });
    return stdout.trimEnd();
  }
}
