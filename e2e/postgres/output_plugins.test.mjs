// A server without wal2json, as Debian has it: nothing of ours asks for that plugin. database.md 1, 8

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, startProjects } from '../harness/private.mjs';

let projects;
before(async () => (projects = await startProjects({ postgres: { wal_level: 'logical' } })));
after(() => projects.stop());

// What is left of a text without the two functions of the contract whose names have the word.
const mentions = (text) => /wal2json/i.test(text.replace(/\b(quote_wal2json|wal2json_escape_identifier)\b/g, ''));

test('the schema and private channels need no plugin, and what may be loaded is as Postgres has it [D-031]', async () => {
  const { postgres, server } = projects;
  const project = await projects.make({ schema: 'may be made', status: 201 });
  await project.asked('realtime:makes the schema', {});
  await project.sql(BY_CLAIMS);
  const topic = 'realtime:room';
  const member = await project.member(topic, { see: ['broadcast', 'presence'], send: ['broadcast'], presence: true, ack: true });
  await member.next(isReplyTo(member.broadcast(topic, 'e')));
  assert.equal((await project.sendOne('room', 'rest', { claims: { send: ['broadcast'] } })).status, 202);
  assert.equal((await member.next((frame) => frame.kind !== undefined || frame.event === 'broadcast')).topic, topic);
  await project.sql(`SELECT realtime.send('{"a":1}', 'e', 'room');`);
  assert.equal(await project.sql('SELECT count(*) FROM realtime.messages;'), '1');

  const bodies = await project.sql("SELECT string_agg(prosrc, ' ') FROM pg_proc WHERE pronamespace = 'realtime'::regnamespace;");
  assert.ok(/quote_wal2json/.test(bodies) && !mentions(bodies));
  assert.ok(!mentions(server.log), 'the log of the server');
  assert.ok(!mentions(postgres.log), 'the log of Postgres');

  const allowed = await postgres.sql("SELECT boot_val, setting FROM pg_settings WHERE name = 'output_plugin_libraries'");
  if (allowed !== '') assert.equal(...allowed.split('|'));
  await assert.rejects(postgres.sql("SELECT pg_create_logical_replication_slot('any', 'wal2json')"), /wal2json/);
});

test('no statement of the files that make the schema names it [D-031]', async () => {
  const root = new URL('../../sql/tenant/', import.meta.url);
  const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.sql'));
  assert.ok(files.length > 3);
  for (const file of files) {
    const statements = (await readFile(new URL(file, root), 'utf8')).replace(/--.*$/gm, '');
    assert.ok(!mentions(statements), file);
  }
});
