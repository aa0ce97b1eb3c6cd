// The schema in a tenant's database, as users' policies, triggers and functions meet it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ROLES, makeDatabase, psql, schemaSql } from '../harness/doctor.mjs';
import { startPostgres } from '../harness/postgres.mjs';

let postgres;

before(async () => {
  postgres = await startPostgres();
  await psql(postgres, 'postgres', ROLES);
  await makeDatabase(postgres, 'tenant');
});
after(() => postgres.remove());

const run = (script, database = 'tenant') => psql(postgres, database, script);
const ask = async (sql, database) => (await run(`${sql};`, database)).output;
// What a script prints whose work is undone.
const tried = (script) => run(`BEGIN; ${script}; ROLLBACK;`);
const refusal = async (script) => {
  const error = await run(script).then(
    () => assert.fail(`went through: ${script}`),
    (thrown) => thrown,
  );
  return /ERROR: {2}(.*)/.exec(error.message)[1];
};

describe('what start-up makes', () => {
  test('tables, their columns, owners and defaults are those of the contract [D-001]', async () => {
    assert.equal(
      await ask(`SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns
        WHERE table_schema = 'realtime' AND table_name = 'messages' ORDER BY ordinal_position`),
      [
        'topic|text|NO|',
        'extension|text|NO|',
        'payload|jsonb|YES|',
        'event|text|YES|',
        'private|boolean|YES|false',
        'updated_at|timestamp without time zone|NO|now()',
        'inserted_at|timestamp without time zone|NO|now()',
        'id|uuid|NO|gen_random_uuid()',
        'binary_payload|bytea|YES|',
      ].join('\n'),
    );
    assert.equal(
      await ask(`SELECT column_name, udt_name, is_nullable FROM information_schema.columns
        WHERE table_schema = 'realtime' AND table_name = 'subscription' ORDER BY ordinal_position`),
      [
        ...['id|int8|NO', 'subscription_id|uuid|NO', 'entity|regclass|NO', 'filters|_user_defined_filter|NO', 'claims|jsonb|NO'],
        ...['claims_role|regrole|NO', 'created_at|timestamp|NO', 'action_filter|text|YES', 'selected_columns|_text|YES'],
      ].join('\n'),
    );
    assert.equal(await ask("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'realtime'"), 'supabase_admin');
    assert.equal(
      await ask(`SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'p')
        AND relname !~ 'messages_' ORDER BY 1`),
      ['messages|supabase_realtime_admin', 'schema_migrations|supabase_admin', 'subscription|supabase_realtime_admin'].join('\n'),
    );
    assert.equal(await ask("SELECT DISTINCT proowner::regrole FROM pg_proc WHERE pronamespace = 'realtime'::regnamespace"), 'supabase_realtime_admin');
    assert.equal(
      await ask("SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'realtime'::regnamespace AND prosecdef"),
      'datafuse_make_partition datafuse_make_partition_of',
    );
    assert.equal(await ask("SELECT proconfig FROM pg_proc WHERE oid = 'realtime.list_changes'::regproc"), '{log_min_messages=fatal}');
    assert.equal(
      await ask("SELECT array_agg(e ORDER BY e) FROM unnest(enum_range(NULL::realtime.equality_op)) e"),
      '{eq,neq,lt,lte,gt,gte,in,like,ilike,is,match,imatch,isdistinct}',
    );
    assert.equal(
      await ask("SELECT rolinherit, rolcanlogin, rolreplication, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'supabase_realtime_admin'"),
      'f|f|f|f|f',
    );
  });

  test('other servers find all of their versions, and nobody may write to them [D-002]', async () => {
    assert.equal(await ask('SELECT count(*), min(version), max(version) FROM realtime.schema_migrations'), '81|20211116024918|20260709120000');
    for (const role of ['anon', 'authenticated', 'service_role', 'dashboard_user'])
      assert.equal(await ask(`SELECT has_table_privilege('${role}', 'realtime.schema_migrations', 'SELECT, INSERT, UPDATE, DELETE')`), 'f');
  });

  test('a message has one kind of payload and is public unless it says otherwise [D-007]', async () => {
    const { output } = await tried("INSERT INTO realtime.messages (topic, extension) VALUES ('t', 'broadcast') RETURNING private");
    assert.equal(output, 'f');
    assert.match(
      await refusal("INSERT INTO realtime.messages (topic, extension, payload, binary_payload) VALUES ('t', 'broadcast', '{}', '')"),
      /violates check constraint "messages_payload_exclusive"/,
    );
  });

  test('who uses the API may read and write messages as policies allow, and delete none [D-008]', async () => {
    for (const role of ['anon', 'authenticated', 'service_role']) {
      const may = (privilege) => ask(`SELECT has_table_privilege('${role}', 'realtime.messages', '${privilege}')`);
      assert.deepEqual(await Promise.all(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'].map(may)), ['t', 't', 't', 'f', 'f'], role);
    }
  });

  test('without a policy users see and send nothing, and backends everything [D-009]', async () => {
    assert.equal(await ask("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'realtime.messages'::regclass"), 't|f');
    const as = (role) =>
      tried(`INSERT INTO realtime.messages (topic, extension) VALUES ('t', 'broadcast');
        SET LOCAL ROLE ${role}; SELECT count(*) FROM realtime.messages;
        SAVEPOINT s; SELECT realtime.send('{}', 'e', 't'); SELECT count(*) FROM realtime.messages`);
    assert.deepEqual((await as('service_role')).output.split('\n').filter(Boolean), ['1', '2']);
    const denied = await as('authenticated');
    assert.deepEqual(denied.output.split('\n').filter(Boolean), ['0', '0']);
    assert.match(denied.errors, /WARNING: {2}WarnSendingBroadcastMessage: new row violates row-level security policy/);
  });

  test("the project's owner manages policies and triggers on both tables [D-010]", async () => {
    // A superuser of the name is what the cluster has, so a member of the same role stands in for it.
    await run("CREATE ROLE owner_of_project NOLOGIN; GRANT supabase_realtime_admin TO owner_of_project; GRANT USAGE ON SCHEMA realtime TO owner_of_project");
    assert.equal(await ask("SELECT pg_has_role('postgres', 'supabase_realtime_admin', 'MEMBER')"), 't');
    for (const table of ['messages', 'subscription'])
      await tried(`CREATE FUNCTION public.of_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        GRANT CREATE ON SCHEMA public TO owner_of_project;
        SET LOCAL ROLE owner_of_project;
        CREATE POLICY p ON realtime.${table} FOR SELECT TO authenticated USING (true);
        ALTER POLICY p ON realtime.${table} USING (false);
        DROP POLICY p ON realtime.${table};
        CREATE TRIGGER mine BEFORE INSERT ON realtime.${table} FOR EACH ROW EXECUTE FUNCTION public.of_trigger();
        DROP TRIGGER mine ON realtime.${table}`);
  });

  test('where an extension lets the owner manage policies, the role of the tables is not given away', async () => {
    const other = await startPostgres();
    try {
      await psql(other, 'postgres', ROLES);
      await psql(other, 'postgres', `ALTER DATABASE postgres SET supautils.policy_grants = '{"postgres": ["realtime.messages", "realtime.subscription"]}';`);
      await psql(other, 'postgres', await schemaSql());
      const members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'supabase_realtime_admin'::regrole AND member = 'postgres'::regrole;";
      assert.equal((await psql(other, 'postgres', members)).output, '0');
    } finally {
      await other.remove();
    }
  });
});

describe('partitions', () => {
  const dropToday = "SELECT to_char(now() AT TIME ZONE 'utc', '\"DROP TABLE realtime.messages_\"YYYY_MM_DD') \\gexec\n";

  test('sending makes the partition that is missing, and the message is stored [D-014]', async () => {
    for (const call of ["send('{}', 'e', 't')", "send_binary('x', 'e', 't')"]) {
      const { output, errors } = await run(`${dropToday} SELECT realtime.${call}; SELECT count(*) FROM realtime.messages WHERE topic = 't';
        DELETE FROM realtime.messages`);
      assert.deepEqual([output.split('\n').filter(Boolean), errors], [['1'], '']);
    }
  });

  test('also for a user, and for those who send at once, in whatever time zone they are', async () => {
    await run(`${dropToday} CREATE POLICY sends ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);`);
    const zones = ['UTC', 'Etc/GMT+12', 'Etc/GMT-14', 'Asia/Kolkata', 'UTC', 'UTC'];
    await Promise.all(
      zones.map((zone) => run(`BEGIN; SET LOCAL timezone = '${zone}'; SET LOCAL ROLE authenticated; SELECT realtime.send('{}', 'e', 'at once'); COMMIT;`)),
    );
    assert.equal(await ask("SELECT count(*) FROM realtime.messages WHERE topic = 'at once'"), String(zones.length));
    await run('DROP POLICY sends ON realtime.messages; DELETE FROM realtime.messages;');
  });

  test('nobody can have other days made', async () => {
    assert.match(await refusal("SET ROLE anon; SELECT realtime.datafuse_make_partition('2030-01-01');"), /permission denied for function/);
    assert.match(await refusal("SET ROLE anon; SELECT realtime.datafuse_make_partition_of('2030-01-01');"), /is not now/);
    assert.match(await refusal('SET ROLE anon; SELECT realtime.datafuse_make_partition_of(NULL);'), /is not now/);
  });

  test('what users put on the search path is not called with the rights of the owner', async () => {
    await run(`${dropToday}
      CREATE SCHEMA trap; GRANT USAGE, CREATE ON SCHEMA trap TO anon; GRANT INSERT ON realtime.messages TO anon;
      SET ROLE anon;
      CREATE TABLE trap.sprung (who text);
      CREATE FUNCTION trap.to_char(date, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO trap.sprung VALUES (current_user); RETURN ''messages_x''; END';
      CREATE FUNCTION trap.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format' `).catch(() => {});
    await run(`SET search_path = trap, pg_catalog; SET ROLE anon; SELECT realtime.send('{}', 'e', 'trapped');`);
    assert.equal(await ask("SELECT count(*) FROM trap.sprung WHERE who = 'supabase_realtime_admin'"), '0');
    await run('DROP SCHEMA trap CASCADE');
  });

  test('a partition has what the table has, of users too', async () => {
    await tried(`ALTER TABLE realtime.messages ADD COLUMN of_users integer DEFAULT 7 CHECK (of_users > 0);
      SELECT realtime.datafuse_make_partition('2031-01-01');
      INSERT INTO realtime.messages (topic, extension, inserted_at) VALUES ('t', 'broadcast', '2031-01-01 12:00');
      DO $$ BEGIN ASSERT (SELECT of_users FROM realtime.messages_2031_01_01) = 7; END $$;
      DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_index WHERE indrelid = 'realtime.messages_2031_01_01'::regclass) = 2; END $$;
      DO $$ BEGIN ASSERT (SELECT relacl FROM pg_class WHERE oid = 'realtime.messages_2031_01_01'::regclass) IS NULL; END $$`);
  });
});

describe('sending by SQL', () => {
  const stored = async (call, columns) => (await tried(`SELECT ${call}; SELECT ${columns} FROM realtime.messages`)).output.trim();

  test('the topic of a policy is null when there is none [D-015]', async () => {
    assert.equal(await ask('SELECT realtime.topic() IS NULL'), 't');
    assert.equal(await ask("SET realtime.topic = ''; SELECT realtime.topic() IS NULL"), 't');
    assert.equal(await ask("SET realtime.topic = 'a:b'; SELECT realtime.topic()"), 'a:b');
  });

  test('three words send a private broadcast that carries its id [D-016]', async () => {
    assert.equal(
      await stored(`realtime.send('{"a":1}', 'e', 't')`, "event, topic, extension, private, payload->>'a', payload->>'id' = id::text, binary_payload IS NULL"),
      'e|t|broadcast|t|1|t|t',
    );
  });

  test('an id that is there stays, null too [D-017]', async () => {
    assert.equal(await stored(`realtime.send('{"id":null}', 'e', 't')`, 'payload'), '{"id": null}');
    assert.equal(await stored(`realtime.send('{"id":5,"b":1}', 'e', 't')`, 'payload'), '{"b": 1, "id": 5}');
    assert.equal(await stored(`realtime.send('["id"]', 'e', 't')`, 'payload'), '["id"]');
    assert.equal(await stored(`realtime.send(NULL, NULL, 't', NULL)`, "payload IS NULL AND event IS NULL AND private IS NULL"), 't');
  });

  test('what cannot be sent is a warning, and the transaction goes on [D-018]', async () => {
    for (const [call, text] of [
      [`send('[1]', 'e', 't')`, 'path element at position 1 is not an integer: "id"'],
      [`send('"x"', 'e', 't')`, 'cannot set path in scalar'],
      [`send('7', 'e', 't')`, 'cannot set path in scalar'],
      [`send('{}', 'e', NULL)`, 'syntax error at or near "NULL"'],
      [`send_binary('x', 'e', NULL)`, 'syntax error at or near "NULL"'],
    ]) {
      const { output, errors } = await run(`BEGIN; SELECT realtime.${call}; SELECT count(*) FROM realtime.messages; COMMIT`);
      assert.equal(output.trim(), '0');
      assert.ok(errors.includes(`WARNING:  WarnSendingBroadcastMessage: ${text}\n`), errors);
    }
    const denied = await run("BEGIN; SET LOCAL ROLE authenticated; SELECT realtime.send('{}', 'e', 't'); COMMIT");
    assert.match(denied.errors, /^WARNING: {2}WarnSendingBroadcastMessage: new row violates/);
  });

  test('the topic is set until the transaction ends [D-019]', async () => {
    const { output } = await run(`BEGIN; SELECT realtime.send('{}', 'e', 'topic of it'); SELECT current_setting('realtime.topic'); ROLLBACK;
      SELECT current_setting('realtime.topic', true) = ''`);
    assert.deepEqual(output.split('\n').filter(Boolean), ['topic of it', 't']);
  });

  test('policies decide what users send, permissive and restrictive ones [D-020]', async () => {
    const sends = async (topic, role) => {
      const { output } = await tried(`
        CREATE POLICY by_topic ON realtime.messages FOR INSERT TO authenticated WITH CHECK (realtime.topic() LIKE 'room:%');
        CREATE POLICY by_claim ON realtime.messages AS RESTRICTIVE FOR INSERT TO authenticated
          WITH CHECK (current_setting('request.jwt.claims', true)::jsonb ->> 'level' = 'high' AND private AND payload ? 'id');
        SET LOCAL "request.jwt.claims" = '{"level":"${role}"}'; SET LOCAL ROLE authenticated;
        SELECT realtime.send('{}', 'e', '${topic}'); SET LOCAL ROLE NONE; SELECT count(*) FROM realtime.messages`);
      return output.trim();
    };
    assert.equal(await sends('room:1', 'high'), '1');
    assert.equal(await sends('room:1', 'low'), '0');
    assert.equal(await sends('hall:1', 'high'), '0');
  });

  test('a trigger function with the rights of its owner sends for users who may not [D-021]', async () => {
    const { output } = await tried(`
      CREATE TABLE public.notes (id integer); GRANT INSERT ON public.notes TO authenticated;
      CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM realtime.send('{}', 'e', 'notes'); RETURN new; END $$;
      CREATE TRIGGER tell AFTER INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.tell();
      SET LOCAL ROLE authenticated; INSERT INTO public.notes VALUES (1); SET LOCAL ROLE NONE;
      SELECT count(*) FROM realtime.messages WHERE topic = 'notes'`);
    assert.equal(output.trim(), '1');
  });

  test('bytes are stored as they are, none too [D-022]', async () => {
    assert.equal(await stored("realtime.send_binary('\\x00ff', 'e', 't')", 'binary_payload, payload IS NULL, private'), '\\x00ff|t|t');
    assert.equal(await stored("realtime.send_binary('', 'e', 't', false)", 'length(binary_payload), private'), '0|f');
  });

  test('calls of one transaction keep their order', async () => {
    const { output } = await tried(`SELECT realtime.send('{}', n::text, 't') FROM generate_series(1, 20) n;
      SELECT string_agg(event, ',' ORDER BY inserted_at, ctid) FROM realtime.messages`);
    assert.equal(output.trim(), Array.from({ length: 20 }, (_, n) => n + 1).join(','));
  });

  test('row triggers tell what became of a row [D-023]', async () => {
    const { output } = await tried(`
      CREATE TABLE public.things (id integer PRIMARY KEY, what bytea);
      CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM realtime.broadcast_changes('things', tg_op, tg_op, tg_table_name, tg_table_schema, new, old); RETURN NULL; END $$;
      CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON public.things FOR EACH ROW EXECUTE FUNCTION public.tell();
      INSERT INTO public.things VALUES (1, 'a'); UPDATE public.things SET what = NULL; DELETE FROM public.things;
      SELECT event, private, payload->>'operation', payload->>'table', payload->>'schema', payload->'record', payload->'old_record',
        (SELECT count(*) FROM jsonb_object_keys(payload)) FROM realtime.messages ORDER BY inserted_at`);
    assert.deepEqual(output.trim().split('\n'), [
      'INSERT|t|INSERT|things|public|{"id": 1, "what": "\\\\x61"}|null|6',
      'UPDATE|t|UPDATE|things|public|{"id": 1, "what": null}|{"id": 1, "what": "\\\\x61"}|6',
      'DELETE|t|DELETE|things|public|null|{"id": 1, "what": null}|6',
    ]);
  });

  test('what is no row trigger is refused in fixed words [D-024]', async () => {
    const call = (operation, level) => `SELECT realtime.broadcast_changes('t', 'e', '${operation}', 'x', 'y', NULL::record, NULL::record, '${level}')`;
    assert.equal(await refusal(call('INSERT', 'STATEMENT')), 'Failed to process the row: function can only be triggered for each row, not for each statement');
    assert.equal(await refusal(call('TRUNCATE', 'ROW')), 'Failed to process the row: Unexpected operation type: TRUNCATE');
    assert.equal(await refusal(call('insert', 'ROW')), 'Failed to process the row: Unexpected operation type: insert');
  });

  test('arguments may be named [D-025]', async () => {
    await tried(`SELECT realtime.send(payload => '{}', event => 'e', topic => 't', private => false);
      SELECT realtime.send_binary(payload => 'x', event => 'e', topic => 't', private => false);
      SELECT realtime.broadcast_changes(topic_name => 't', event_name => 'e', operation => 'INSERT', table_name => 'x', table_schema => 'y',
        new => NULL::record, old => NULL::record, level => 'ROW');
      SELECT realtime.to_regrole(role_name => 'anon'), realtime."cast"(val => '1', type_ => 'int4');
      SELECT realtime.check_equality_op(op => 'eq', type_ => 'int4', val_1 => '1', val_2 => '1');
      SELECT realtime.check_equality_op(op => 'eq', type_ => 'int4', val_1 => '1', val_2 => '1', negate => true);
      SELECT realtime.is_visible_through_filters(columns => '{}', filters => '{}');
      SELECT realtime.build_prepared_statement_sql(prepared_statement_name => 'p', entity => 'pg_class', columns => '{}');
      SELECT realtime.apply_rls(wal => '{}', max_record_bytes => 1);
      SELECT realtime.quote_wal2json(entity => 'pg_class'), realtime.wal2json_escape_identifier(name => 'x')`);
  });
});

describe('subscriptions by SQL', () => {
  before(() =>
    run(`CREATE TYPE mood AS ENUM ('ok');
      CREATE TABLE public.rows (id integer PRIMARY KEY, t text, v varchar(9), b boolean, n numeric(5, 2), c char(4), name name, j jsonb, secret text, m mood);
      GRANT SELECT (id, t, v, b, n, c, name, j, m) ON public.rows TO authenticated;`),
  );

  const insert = (filters, { columns = 'NULL', claims = '{"role":"authenticated"}' } = {}) =>
    `INSERT INTO realtime.subscription (subscription_id, entity, filters, claims, selected_columns)
     VALUES ('00000000-0000-4000-8000-000000000001', 'public.rows', ARRAY[${filters.map((f) => `(${f})::realtime.user_defined_filter`).join(',')}]::realtime.user_defined_filter[],
       '${claims}', ${columns})`;
  const hundred = (n) => `{${Array.from({ length: n }, (_, i) => i).join(',')}}`;

  test('each fault of a filter has its words [D-026]', async () => {
    for (const [filter, text] of [
      ["'secret', 'eq', 'x', false", 'invalid column for filter secret'],
      ["'nothing', 'eq', 'x', false", 'invalid column for filter nothing'],
      ["'id', 'in', '{x}', false", 'invalid input syntax for type integer: "x"'],
      [`'id', 'in', '${hundred(101)}', false`, 'too many values for `in` filter. Maximum 100'],
      ["'b', 'is', 'NULL', false", 'invalid value for is filter: must be null, true, false, or unknown'],
      ["'t', 'is', 'true', false", 'is true filter requires a boolean column, got text'],
      ["'v', 'like', 'x', false", 'operator like requires a text-compatible column type, got character varying'],
      ["'id', 'ilike', 'x', false", 'operator ilike requires a text-compatible column type, got integer'],
      ["'c', 'match', 'x', false", 'operator match requires a text-compatible column type, got character'],
      ["'name', 'imatch', 'x', false", 'operator imatch requires a text-compatible column type, got name'],
      ["'t', 'match', '(', false", 'invalid regular expression for match filter: invalid regular expression: parentheses () not balanced'],
      ["'id', 'eq', 'hey', false", 'invalid input syntax for type integer: "hey"'],
      ["'m', 'isdistinct', 'bad', false", 'invalid input value for enum mood: "bad"'],
    ])
      assert.equal(await refusal(insert([filter])), text);
    assert.equal(await refusal(insert([], { columns: "ARRAY['id', 'secret']" })), 'invalid column for select secret');
    for (const fine of [
      `'id', 'in', '${hundred(100)}', false`,
      "'v', 'is', 'null', true",
      "'c', 'like', 'a%', false",
      "'t', 'imatch', '^a', false",
      "'n', 'gt', '1234.5678', false",
      "'j', 'eq', '{\"a\": 1}', false",
    ])
      await tried(insert([fine]));
  });

  test('filters and columns are stored in order, so another order is the same subscription [D-027]', async () => {
    const filters = ["'t', 'eq', 'b', false", "'id', 'gt', '1', false", "'t', 'eq', 'a', true"];
    const columns = "ARRAY['t', 'id']";
    const { output } = await tried(`${insert(filters, { columns })} RETURNING filters, selected_columns, claims_role`);
    assert.equal(output, '{"(id,gt,1,f)","(t,eq,a,t)","(t,eq,b,f)"}|{id,t}|authenticated');
    assert.match(
      await refusal(`BEGIN; ${insert(filters, { columns })}; ${insert(filters.toReversed(), { columns: "ARRAY['id', 't']" })}`),
      /duplicate key value violates unique constraint "subscription_subscription_id_entity_filters_action_filter_selec"/,
    );
  });

  test('a role that is missing or unknown cannot subscribe [D-028]', async () => {
    assert.match(await refusal(insert([], { claims: '{}' })), /null value in column "claims_role"/);
    assert.equal(await refusal(insert([], { claims: '{"role":"nobody here"}' })), 'role "nobody here" does not exist');
  });

  test('what subscribing calls gives values as their column writes them', async () => {
    assert.equal(
      await ask(`SELECT sorted_filters, canonical_values FROM realtime.datafuse_check_subscription('public.rows', 'authenticated',
        ARRAY[('n', 'eq', '01.50', false), ('id', 'in', '{ 2 ,01}', false), ('b', 'eq', 'yes', false)]::realtime.user_defined_filter[], NULL)`),
      '{"(b,eq,yes,f)","(id,in,\\"{ 2 ,01}\\",f)","(n,eq,01.50,f)"}|{true,"{2,1}",1.50}',
    );
  });
});

describe('decoding in the database, for other servers', () => {
  const wal = (action, rest) => JSON.stringify({ action, schema: 'public', table: 'watched', timestamp: '2024-01-01 10:00:00.123999+02', ...rest });
  const key = { pk: [{ name: 'id', typeoid: 23 }] };
  const column = (name, typeoid, value) => ({ name, typeoid, value });
  const told = async (change, setUp = '', bytes = 1048576) => {
    const { output } = await tried(`
      CREATE TABLE public.watched (id integer PRIMARY KEY, t text, n numeric);
      GRANT SELECT ON public.watched TO authenticated; GRANT SELECT (t) ON public.watched TO anon;
      INSERT INTO realtime.subscription (subscription_id, entity, claims, filters, selected_columns) VALUES
        ('00000000-0000-4000-8000-000000000001', 'public.watched', '{"role":"authenticated","sub":"1"}', '{}', NULL),
        ('00000000-0000-4000-8000-000000000002', 'public.watched', '{"role":"authenticated","sub":"2"}', '{"(id,gt,5,f)"}', '{n}'),
        ('00000000-0000-4000-8000-000000000003', 'public.watched', '{"role":"anon","sub":"3"}', '{}', NULL);
      ${setUp};
      SELECT claims_role, array_to_json(array(SELECT right(x::text, 1) FROM unnest(r.subscription_ids) x)), r.errors, r.wal->'record', r.wal->'old_record', r.wal->>'commit_timestamp'
      FROM realtime.apply_rls('${change}', ${bytes}) r JOIN realtime.subscription s ON s.subscription_id = r.subscription_ids[1]`);
    return output.split('\n').filter(Boolean);
  };

  test('a change goes to those whose filters and rights allow it, in the columns that they may see', async () => {
    const change = wal('I', { ...key, columns: [column('id', 23, 7), column('t', 25, 'x'), column('n', 1700, 1.5)] });
    assert.deepEqual(await told(change), [
      'anon|["3"]|{"Error 401: Unauthorized"}|||',
      'authenticated|["1"]||{"n": 1.5, "t": "x", "id": 7}||2024-01-01T08:00:00.123Z',
      'authenticated|["2"]||{"n": 1.5, "id": 7}||2024-01-01T08:00:00.123Z',
    ]);
    const small = wal('I', { ...key, columns: [column('id', 23, 3), column('t', 25, null)] });
    assert.deepEqual((await told(small)).slice(1), ['authenticated|["1"]||{"t": null, "id": 3}||2024-01-01T08:00:00.123Z']);
  });

  test('policies decide by the claims of each subscriber', async () => {
    const change = wal('U', { ...key, columns: [column('id', 23, 7), column('t', 25, '2')], identity: [column('id', 23, 7)] });
    const policy = `ALTER TABLE public.watched ENABLE ROW LEVEL SECURITY; INSERT INTO public.watched VALUES (7, '2');
      CREATE POLICY p ON public.watched FOR SELECT TO authenticated USING (t = current_setting('request.jwt.claims')::jsonb ->> 'sub')`;
    assert.deepEqual((await told(change, policy)).slice(1), ['authenticated|["2"]||{"id": 7}|{"id": 7}|2024-01-01T08:00:00.123Z']);
    const gone = wal('D', { ...key, identity: [column('id', 23, 7), column('t', 25, '2')] });
    assert.deepEqual((await told(gone, policy)).map((row) => row.split('|')[4]), ['{}', '{"id": 7}', '{"id": 7}']);
  });

  test('without a key, and above the limit of size, subscribers are told so', async () => {
    const change = wal('I', { columns: [column('id', 23, 7)], pk: [] });
    assert.deepEqual((await told(change)).map((row) => row.split('|')[2]), Array(2).fill('{"Error 400: Bad Request, no primary key"}'));
    const large = wal('I', { ...key, columns: [column('id', 23, 7), column('t', 25, 'x'.repeat(63)), column('n', 1700, null)] });
    assert.equal((await told(large, '', 10))[1], 'authenticated|["1"]|{"Error 413: Payload Too Large"}|{"id": 7}||2024-01-01T08:00:00.123Z');
  });

  test('nobody is left in the role of a subscriber', async () => {
    const { output } = await tried(`CREATE TABLE public.watched (id integer PRIMARY KEY); ALTER TABLE public.watched ENABLE ROW LEVEL SECURITY;
      INSERT INTO realtime.subscription (subscription_id, entity, claims) VALUES ('00000000-0000-4000-8000-000000000001', 'public.watched', '{"role":"service_role"}');
      GRANT SELECT ON public.watched TO service_role;
      SELECT FROM realtime.apply_rls('${wal('I', { ...key, columns: [column('id', 23, 7)] })}'); SELECT current_user`);
    assert.equal(output.trim(), 'postgres');
  });
});
