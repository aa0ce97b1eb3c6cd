// The program without a server: what `realtime doctor` says of a database, and the SQL of the schema.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { BINARY } from './server.mjs';

export const LOGIN_PASSWORD = 'e2e password of a login';

const started = (args, env) =>
  new Promise((resolve) => {
    execFile(BINARY, args, { env: { PATH: process.env.PATH, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
  });

export const schemaSql = async () => (await started(['doctor', '--print-schema'])).stdout;

export const runDoctor = (args, { password = LOGIN_PASSWORD, env = {} } = {}) => started(['doctor', ...args], { PGPASSWORD: password, ...env });

// `{code, findings, server, ...}`.
export async function diagnose(postgres, { database = 'postgres', user, password, host = postgres.host, port = postgres.port, tls = 'off' } = {}) {
  const args = ['--json', '--host', host, '--port', String(port), '--database', database, '--user', user, '--tls', tls];
  const { code, stdout, stderr } = await runDoctor(args, { password });
  if (stdout === '') throw new Error(`realtime doctor: ${stderr}`);
  return { code, ...JSON.parse(stdout) };
}

// A script as psql runs it: each statement by itself, stopping at the first error. As the superuser, unless `env` says otherwise.
export async function psql(postgres, database, script, { env = {} } = {}) {
  const child = spawn(join(postgres.bin, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1', database], {
    env: { PATH: process.env.PATH, PGHOST: postgres.host, PGPORT: String(postgres.port), PGUSER: 'postgres', PGPASSWORD: postgres.password, ...env },
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  child.stdin.end(script);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`psql: ${errors}\n${script.slice(0, 300)}`);
  return { output: output.trimEnd(), errors };
}

// The roles that tokens name and that platforms have.
export const ROLES = `
  CREATE ROLE anon NOLOGIN NOINHERIT;
  CREATE ROLE authenticated NOLOGIN NOINHERIT;
  CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
  CREATE ROLE supabase_admin NOLOGIN SUPERUSER;
  CREATE ROLE dashboard_user NOLOGIN;`;

// A login with the rights that docs/operating.md lists. supabase_realtime_admin has to be there.
export const loginSql = (login) => `
  CREATE ROLE ${login} LOGIN REPLICATION PASSWORD '${LOGIN_PASSWORD}';
  GRANT anon, authenticated, service_role, supabase_realtime_admin TO ${login};`;

// A database in which nothing is missing. It is made once and copied, unless `like` says, in SQL, what it is like.
export async function makeDatabase(postgres, name, { like } = {}) {
  if (like) return makeByScripts(postgres, name, like);
  postgres.pattern ??= makeByScripts(postgres, 'pattern_of_databases');
  await psql(postgres, 'postgres', `CREATE DATABASE ${name} TEMPLATE ${await postgres.pattern};`);
}

async function makeByScripts(postgres, name, like = '') {
  await psql(postgres, 'postgres', `CREATE DATABASE ${name} ${like};`);
  await psql(
    postgres,
    name,
    `${await schemaSql()}
     SELECT realtime.datafuse_make_partition((now() AT TIME ZONE 'utc')::date + n) FROM generate_series(-1, 30) n;
     CREATE PUBLICATION supabase_realtime;
     CREATE PUBLICATION supabase_realtime_messages_publication FOR TABLE realtime.messages;`,
  );
  return name;
}

// What no database can bring along: it counts after a restart.
export async function prepareServer(postgres) {
  await psql(postgres, 'postgres', `${ROLES} ALTER SYSTEM SET wal_level = 'logical';`);
  await postgres.stop();
  await postgres.start();
}

// A table whose rows doctor finds nothing wrong with, for a database whose publication would be empty.
export const PUBLISHED_TABLE = `
  CREATE TABLE public.told (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL DEFAULT '');
  ALTER TABLE public.told ENABLE ROW LEVEL SECURITY;
  CREATE POLICY readers ON public.told FOR SELECT TO authenticated USING (true);
  GRANT SELECT ON public.told TO anon, authenticated;
  ALTER PUBLICATION supabase_realtime ADD TABLE public.told;`;
