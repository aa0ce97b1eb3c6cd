// `realtime doctor`: on a server that is not prepared, on what SQL cannot mend and on what needs a restart, and for the database of a
// tenant. doctor_mends.test.mjs has what SQL mends.

import assert from 'node:assert/strict';
import net from 'node:net';
import { readFile, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { diagnose, loginSql, makeDatabase, psql, PUBLISHED_TABLE, runDoctor } from '../harness/doctor.mjs';
import { startPostgres, startStandby } from '../harness/postgres.mjs';
import { startServer, until } from '../harness/server.mjs';

const ids = ({ findings }) => findings.map(({ id }) => id).sort();

let postgres;

async function makeReady(name, sql = '') {
  await makeDatabase(postgres, name);
  await psql(postgres, name, PUBLISHED_TABLE + sql);
}

const restart = async () => {
  await postgres.stop();
  await postgres.start();
};

before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.remove());

// First, for a role that others depend on does not go any more.
test('a server that is not prepared at all is told everything, and the SQL of it prepares it', async () => {
  await psql(postgres, 'postgres', "CREATE ROLE novice LOGIN PASSWORD 'e2e password of a login'; CREATE DATABASE unprepared;");
  const before = await diagnose(postgres, { user: 'novice', database: 'unprepared' });
  assert.deepEqual(
    ids(before),
    ['login_replication', 'publication_missing', 'role_missing', 'role_missing', 'role_missing', 'schema_missing', 'wal_level'],
    JSON.stringify(before, null, 1),
  );
  assert.equal(before.code, 1);

  // Mending one thing may show another.
  for (let round = 0; round < 4; ++round) {
    const { stdout } = await runDoctor(['--sql', '--host', postgres.host, '--port', String(postgres.port), '--database', 'unprepared', '--user', 'novice', '--tls', 'off']);
    if (stdout === '') break;
    await psql(postgres, 'unprepared', stdout);
    await restart();
  }
  const after = await diagnose(postgres, { user: 'novice', database: 'unprepared' });
  // Which tables clients may have nobody else can say.
  assert.deepEqual(ids(after), ['publication_empty']);
  assert.equal(after.code, 0);
  assert.match(after.server, /^PostgreSQL 1\d\.\d+$/);
  await psql(postgres, 'postgres', 'DROP DATABASE unprepared; CREATE ROLE supabase_admin NOLOGIN SUPERUSER; CREATE ROLE dashboard_user NOLOGIN;');
});

test('a name cannot smuggle SQL into what doctor prints', async () => {
  const login = 'evil"; DROP TABLE innocent; --';
  const quoted = `"${login.replaceAll('"', '""')}"`;
  const database = 'evil";DROP TABLE innocent;--';
  await psql(postgres, 'postgres', `CREATE DATABASE "${database.replaceAll('"', '""')}";`);
  await psql(postgres, database, `CREATE TABLE innocent (); CREATE ROLE ${quoted} LOGIN PASSWORD 'e2e password of a login' CONNECTION LIMIT 1;`);
  const { findings } = await diagnose(postgres, { database, user: login });
  assert.ok(findings.some(({ id }) => id === 'login_replication'));
  for (const { sql, id } of findings) if (sql && id !== 'schema_missing') await psql(postgres, database, sql);
  assert.equal((await psql(postgres, database, "SELECT to_regclass('innocent')")).output, 'innocent');
  assert.ok(!ids(await diagnose(postgres, { database, user: login })).includes('login_replication'));
});

describe('what SQL cannot mend is named, too:', () => {
  test('a wrong password', async () => {
    await psql(postgres, 'postgres', loginSql('forgetful'));
    const { findings, code } = await diagnose(postgres, { user: 'forgetful', password: 'not this one' });
    assert.deepEqual(ids({ findings }), ['wrong_password']);
    assert.ok(!JSON.stringify(findings).includes('not this one'));
    assert.equal(code, 1);
  });

  test('a superuser as the login', async () => {
    await makeReady('of_superuser');
    const { findings, code } = await diagnose(postgres, { database: 'of_superuser', user: 'postgres', password: postgres.password });
    assert.deepEqual(ids({ findings }), ['login_superuser']);
    assert.equal(code, 0);
  });

  test('TLS that the server does not have', async () => {
    assert.deepEqual(ids(await diagnose(postgres, { user: 'postgres', tls: 'on' })), ['tls_mismatch']);
  });

  test('a server that lets nobody in from here', async () => {
    const file = join(postgres.directory, 'data', 'pg_hba.conf');
    const before = await readFile(file, 'utf8');
    await writeFile(file, `host all refused all reject\n${before}`);
    await psql(postgres, 'postgres', 'SELECT pg_reload_conf();');
    await psql(postgres, 'postgres', loginSql('refused'));
    let found;
    for (let i = 0; i < 100; ++i) {
      found = ids(await diagnose(postgres, { user: 'refused' }));
      if (found.includes('no_hba_entry')) break;
    }
    assert.deepEqual(found, ['no_hba_entry']);
    await writeFile(file, before);
    await psql(postgres, 'postgres', 'SELECT pg_reload_conf();');
  });

  test('a port where nobody listens', async () => {
    const probe = net.createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address();
    probe.close();
    await once(probe, 'close');
    assert.deepEqual(ids(await diagnose(postgres, { user: 'postgres', port })), ['host_unreachable']);
  });

  test('a host without an address', async () => {
    assert.deepEqual(ids(await diagnose(postgres, { user: 'postgres', host: 'nowhere.invalid' })), ['host_unreachable']);
  });

  test('a server that says nothing', { timeout: 60_000 }, async () => {
    const sockets = [];
    const silent = net.createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    assert.deepEqual(ids(await diagnose(postgres, { user: 'postgres', port: silent.address().port })), ['host_silent']);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  test('a server that is too old', async () => {
    const int = (value) => Buffer.from([value >> 24, value >> 16, value >> 8, value]);
    const message = (type, body) => Buffer.concat([Buffer.from(type), int(body.length + 4), body]);
    const old = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () =>
        socket.write(
          Buffer.concat([
            message('R', int(0)),
            ...['server_version\x0013.2\x00', 'client_encoding\x00UTF8\x00'].map((text) => message('S', Buffer.from(text))),
            message('K', Buffer.concat([int(1), int(1)])),
            message('Z', Buffer.from('I')),
          ]),
        ),
      );
    });
    old.listen(0, '127.0.0.1');
    await once(old, 'listening');
    assert.deepEqual(ids(await diagnose(postgres, { user: 'postgres', port: old.address().port })), ['server_version']);
    old.close();
  });

  test('a standby', { timeout: 60_000 }, async () => {
    const standby = await startStandby(postgres);
    try {
      const { findings } = await diagnose(standby, { user: 'postgres', password: postgres.password });
      assert.deepEqual(ids({ findings }), ['standby']);
    } finally {
      await standby.remove();
    }
  });
});

describe('what counts only after a restart of the database server:', () => {
  const look = () => diagnose(postgres, { database: 'restarted', user: 'patient' });

  before(async () => {
    await makeReady('restarted', loginSql('patient'));
  });

  // Breaks, restarts, looks, mends, restarts, looks.
  async function breaks(expected, script) {
    await psql(postgres, 'restarted', script);
    await restart();
    const { findings } = await look();
    assert.deepEqual(ids({ findings }), expected, JSON.stringify(findings, null, 1));
    assert.ok(findings.every(({ needs_restart: needsRestart }) => needsRestart));
    for (const { sql } of findings) await psql(postgres, 'restarted', sql);
    await restart();
    assert.deepEqual((await look()).findings, []);
  }

  test('wal_level', () => breaks(['wal_level'], "ALTER SYSTEM SET wal_level = 'replica';"));
  test('no WAL senders', () => breaks(['wal_senders'], 'ALTER SYSTEM SET max_wal_senders = 0;'));
  test('no replication slots', () => breaks(['replication_slots'], 'ALTER SYSTEM SET max_replication_slots = 0;'));
  test('replication slots that are all taken', async () => {
    await psql(postgres, 'restarted', `ALTER SYSTEM SET max_replication_slots = 3;`);
    await restart();
    await breaks(['replication_slots'], "SELECT pg_create_physical_replication_slot('of_others_' || n) FROM generate_series(1, 2) n;");
  });
  test('too few connections', async () => {
    await psql(postgres, 'restarted', 'ALTER SYSTEM SET superuser_reserved_connections = 49;');
    await restart();
    const { findings } = await look();
    assert.deepEqual(ids({ findings }), ['connections']);
    assert.match(findings[0].problem, /^1 connections are left of 1 /);
    assert.match(findings[0].sql, /^ALTER SYSTEM SET max_connections = \d+;$/);
    await psql(postgres, 'restarted', 'ALTER SYSTEM RESET superuser_reserved_connections;');
    await restart();
    assert.deepEqual((await look()).findings, []);
  });
});

describe('the database of a tenant', () => {
  let server;

  before(async () => {
    await makeDatabase(postgres, 'of_tenant');
    await psql(postgres, 'of_tenant', loginSql('tenant_login'));
    server = await startServer();
    await put('customer', { publication: 'another' });
  });
  after(() => server.stop());

  async function put(name, more) {
    const settings = {
      region: 'us-east-1',
      db_host: postgres.host,
      db_port: String(postgres.port),
      db_name: 'of_tenant',
      db_user: 'tenant_login',
      db_password: 'e2e password of a login',
      ssl_enforced: false,
      ...more,
    };
    const response = await fetch(`${server.url}/api/tenants/${name}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${server.token({ role: 'service_role' })}` },
      body: JSON.stringify({ tenant: { jwt_secret: 'secret of the customer, long enough', extensions: [{ type: 'postgres_cdc_rls', settings }] } }),
    });
    assert.ok(response.ok, `${response.status}`);
  }

  test('is found in the store of a server that runs, with its publication', async () => {
    const { code, stdout, stderr } = await runDoctor(['customer', '--data-dir', server.dataDir, '--json']);
    assert.equal(code, 0, stderr);
    const { findings, database, user } = JSON.parse(stdout);
    assert.deepEqual([database, user, ids({ findings })], ['of_tenant', 'tenant_login', ['publication_missing']]);
    assert.match(findings[0].sql, /"?another"?/);
  });

  test('is asked for the connections and the log that the tenant needs', async () => {
    await psql(postgres, 'of_tenant', `${PUBLISHED_TABLE} ALTER ROLE tenant_login CONNECTION LIMIT 10; ALTER DATABASE of_tenant CONNECTION LIMIT 11;`);
    await put('modest', { db_pool: 8 });
    await put('greedy', { db_pool: 30, slot_mode: 'durable' });
    const found = async (name, env) => JSON.parse((await runDoctor([name, '--data-dir', server.dataDir, '--json'], { env })).stdout).findings;
    assert.deepEqual(await found('modest'), []);
    assert.deepEqual(ids({ findings: await found('modest', { SLOT_MODE: 'durable' }) }), ['slots_unbounded']);
    const findings = await found('greedy');
    assert.deepEqual(
      findings.map(({ id, severity }) => [id, severity]),
      [['slots_unbounded', 'warning'], ['login_connection_limit', 'error'], ['database_connection_limit', 'error']],
    );
    assert.match(findings[1].problem, /may have 10 connections; we need 32\./);
    for (const { sql } of findings) await psql(postgres, 'of_tenant', sql);
    await until(async () => (await found('greedy')).length === 0, 'the server to know its new bound');
    await put('greedy', { db_pool: 100 });
    assert.deepEqual(ids({ findings: await found('greedy') }), ['connections']);
  });

  test('is described for people, without its password', async () => {
    const { stdout } = await runDoctor(['customer', '--data-dir', server.dataDir]);
    assert.match(stdout, /of_tenant as tenant_login, PostgreSQL/);
    assert.match(stdout, /warning {2}publication_missing/);
    assert.match(stdout, /CREATE PUBLICATION another;/);
    assert.ok(!stdout.includes('e2e password'));
  });

  test('is asked for by a name that is known, and in the folder of a server', async () => {
    for (const [args, expected] of [
      [['nobody', '--data-dir', server.dataDir], /there is no tenant nobody/],
      [['dev', '--data-dir', server.dataDir], /the tenant dev has no database/],
      [['dev', '--data-dir', join(server.dataDir, 'nothing')], /there is no server in .*name its directory with --data-dir/],
      [['dev', '--host', 'localhost'], /expected either the name of a tenant or --host/],
      [['--host', 'localhost'], /expected --user/],
    ]) {
      const { code, stderr } = await runDoctor(args);
      assert.equal(code, 2);
      assert.match(stderr, expected);
    }
  });
});
