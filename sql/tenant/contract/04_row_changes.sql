-- What other servers of this schema need to decode row changes in the database. This server decodes them itself and calls
-- nothing of this file.
--
-- The value of a column, as text, in JSON.
create or replace function realtime."cast"(val text, type_ regtype) returns jsonb
language plpgsql immutable
as $body$
declare
  result jsonb;
begin
  if type_::oid = 'pg_catalog.bytea'::regtype::oid then
    return pg_catalog.to_jsonb(val);
  end if;
  -- With -1 the name of the type stands for all lengths.
  execute format('select pg_catalog.to_jsonb(%L::%s)', val, pg_catalog.format_type(type_, -1)) into result;
  return result;
end
$body$;
-- next
-- One filter: the column's value, then the filter's. Null where SQL does not know.
create or replace function realtime.check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text, negate boolean)
returns boolean
language plpgsql stable
as $body$
declare
  type_name constant text := pg_catalog.format_type(type_, -1);
  condition text;
  result boolean;
begin
  condition := case op::text
    when 'eq' then format('%L::%s = %L::%2$s', val_1, type_name, val_2)
    when 'neq' then format('%L::%s <> %L::%2$s', val_1, type_name, val_2)
    when 'lt' then format('%L::%s < %L::%2$s', val_1, type_name, val_2)
    when 'lte' then format('%L::%s <= %L::%2$s', val_1, type_name, val_2)
    when 'gt' then format('%L::%s > %L::%2$s', val_1, type_name, val_2)
    when 'gte' then format('%L::%s >= %L::%2$s', val_1, type_name, val_2)
    when 'in' then format('%L::%s = any (%L::%2$s[])', val_1, type_name, val_2)
    when 'like' then format('%L::%s like %L', val_1, type_name, val_2)
    when 'ilike' then format('%L::%s ilike %L', val_1, type_name, val_2)
    when 'match' then format('%L::%s ~ %L', val_1, type_name, val_2)
    when 'imatch' then format('%L::%s ~* %L', val_1, type_name, val_2)
    when 'isdistinct' then format('%L::%s is distinct from %L::%2$s', val_1, type_name, val_2)
    when 'is' then case val_2
      when 'null' then format('%L::%s is null', val_1, type_name)
      when 'true' then format('%L::boolean is true', val_1)
      when 'false' then format('%L::boolean is false', val_1)
      when 'unknown' then format('%L::boolean is unknown', val_1)
    end
  end;
  if condition is null then
    return null;
  end if;
  execute 'select ' || condition into result;
  return case when negate then not result else result end;
end
$body$;
-- next
create or replace function realtime.check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text) returns boolean
language plpgsql immutable
as $body$
begin
  return realtime.check_equality_op(op, type_, val_1, val_2, false);
end
$body$;
-- next
create or replace function realtime.is_visible_through_filters(
  columns realtime.wal_column[], filters realtime.user_defined_filter[]
) returns boolean
language sql stable
as $body$
  select coalesce(pg_catalog.bool_and(coalesce(
    case when c.name is not null then
      realtime.check_equality_op(f.op, coalesce(c.type_oid::pg_catalog.regtype, c.type_name::pg_catalog.regtype),
                                 c.value #>> '{}', f.value, coalesce(f.negate, false))
    end, false)), true)
  from pg_catalog.unnest($2) f
  left join pg_catalog.unnest($1) c on c.name = f.column_name
$body$;
-- next
create or replace function realtime.build_prepared_statement_sql(
  prepared_statement_name text, entity regclass, columns realtime.wal_column[]
) returns text
language sql
as $body$
  select pg_catalog.format('prepare %I as select exists (select from %s where %s)', $1, $2,
    pg_catalog.string_agg(
      pg_catalog.format('%I = %L::%s', c.name, c.value #>> '{}', pg_catalog.format_type(c.type_oid, -1)), ' and '))
  from pg_catalog.unnest($3) c
  where c.is_pkey
$body$;
-- next
create or replace function realtime.wal2json_escape_identifier(name text) returns text
language sql immutable strict
as $body$ select pg_catalog.regexp_replace(name, '([\\,.\s])', '\\\1', 'g') $body$;
-- next
create or replace function realtime.quote_wal2json(entity regclass) returns text
language sql immutable strict
as $body$
  select realtime.wal2json_escape_identifier(n.nspname::text) || '.' || realtime.wal2json_escape_identifier(c.relname::text)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = entity::oid
$body$;
-- next
-- One change as wal2json writes it (format 2): who is told of it, and what. A row for each role and choice of columns.
create or replace function realtime.apply_rls(wal jsonb, max_record_bytes integer default 1048576) returns setof realtime.wal_rls
language plpgsql
as $body$
#variable_conflict use_variable
declare
  entity constant regclass :=
    pg_catalog.to_regclass(pg_catalog.quote_ident(wal ->> 'schema') || '.' || pg_catalog.quote_ident(wal ->> 'table'));
  act constant text := case wal ->> 'action' when 'I' then 'INSERT' when 'U' then 'UPDATE' when 'D' then 'DELETE' end;
  is_too_large constant boolean := pg_catalog.octet_length(wal::text) > max_record_bytes;
  has_rls boolean;
  key_names text[];
  of_role regrole;
  role_name text;
  everybody uuid[];
  head jsonb;
  new_columns realtime.wal_column[];
  old_columns realtime.wal_column[];
  seen realtime.wal_column[];
  told uuid[];
  candidate record;
  is_visible boolean;
  choice record;
  output realtime.wal_rls;
begin
  if entity is null or act is null then
    return;
  end if;
  select c.relrowsecurity into has_rls from pg_catalog.pg_class c where c.oid = entity::oid;
  select coalesce(pg_catalog.array_agg(k ->> 'name'), '{}') into key_names
  from pg_catalog.jsonb_array_elements(wal -> 'pk') k;

  for of_role, role_name, everybody in
    select s.claims_role, r.rolname::text, pg_catalog.array_agg(s.subscription_id order by s.id)
    from realtime.subscription s
    join pg_catalog.pg_roles r on r.oid = s.claims_role::oid
    where s.entity::oid = entity::oid and s.action_filter in ('*', act)
    group by s.claims_role, r.rolname
    order by r.rolname
  loop
    output := null;
    output.is_rls_enabled := has_rls;
    head := pg_catalog.jsonb_build_object('schema', wal ->> 'schema', 'table', wal ->> 'table', 'type', act);

    if act <> 'DELETE' and pg_catalog.cardinality(key_names) = 0 then
      output.wal := head;
      output.subscription_ids := everybody;
      output.errors := array['Error 400: Bad Request, no primary key'];
      return next output;
      continue;
    end if;

    select pg_catalog.array_agg(d) filter (where not is_old), pg_catalog.array_agg(d) filter (where is_old)
    into new_columns, old_columns
    from (
      select row(e ->> 'name', t.typname::text, t.oid,
                 realtime."cast"(e ->> 'value', t.oid::pg_catalog.regtype),
                 (e ->> 'name') = any (key_names),
                 coalesce(pg_catalog.has_column_privilege(of_role::oid, entity::oid, a.attnum, 'SELECT'), false)
                )::realtime.wal_column as d,
             is_old
      from (
        select false as is_old, n.value as e, n.ordinality as position
        from pg_catalog.jsonb_array_elements(wal -> 'columns') with ordinality n
        union all
        select true, o.value, o.ordinality
        from pg_catalog.jsonb_array_elements(wal -> 'identity') with ordinality o
      ) decoded
      join pg_catalog.pg_type t on t.oid = (e ->> 'typeoid')::pg_catalog.oid
      left join pg_catalog.pg_attribute a
        on a.attrelid = entity::oid and a.attname::text = (e ->> 'name') and a.attnum > 0 and not a.attisdropped
      order by position
    ) rendered;
    new_columns := coalesce(new_columns, '{}');
    old_columns := coalesce(old_columns, '{}');

    if act <> 'DELETE' and exists (select from pg_catalog.unnest(new_columns) c where c.is_pkey and not c.is_selectable) then
      output.wal := head;
      output.subscription_ids := everybody;
      output.errors := array['Error 401: Unauthorized'];
      return next output;
      continue;
    end if;

    seen := case when act = 'DELETE' then old_columns else new_columns end;
    told := '{}';
    if has_rls and act <> 'DELETE' then
      execute realtime.build_prepared_statement_sql('datafuse_is_visible', entity, new_columns);
    end if;
    for candidate in
      select s.subscription_id, s.claims
      from realtime.subscription s
      where s.entity::oid = entity::oid and s.claims_role::oid = of_role::oid and s.action_filter in ('*', act)
        and realtime.is_visible_through_filters(seen, s.filters)
      order by s.id
    loop
      is_visible := true;
      if has_rls and act <> 'DELETE' then
        perform pg_catalog.set_config('request.jwt.claims', candidate.claims::text, true);
        perform pg_catalog.set_config('role', role_name, true);
        execute 'execute datafuse_is_visible' into is_visible;
        perform pg_catalog.set_config('role', 'none', true);
      end if;
      if is_visible then
        told := told || candidate.subscription_id;
      end if;
    end loop;
    if has_rls and act <> 'DELETE' then
      deallocate datafuse_is_visible;
    end if;

    head := head || pg_catalog.jsonb_build_object('commit_timestamp',
      pg_catalog.to_char((wal ->> 'timestamp')::timestamptz at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));
    for choice in
      select s.selected_columns, pg_catalog.array_agg(s.subscription_id order by s.id) as ids
      from realtime.subscription s
      where s.entity::oid = entity::oid and s.claims_role::oid = of_role::oid and s.action_filter in ('*', act) and s.subscription_id = any (told)
        and realtime.is_visible_through_filters(seen, s.filters)
      group by s.selected_columns
      order by s.selected_columns is not null, pg_catalog.array_to_string(s.selected_columns, ',')
    loop
      output.wal := head || pg_catalog.jsonb_build_object('columns', (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname, 'type', t.typname) order by a.attnum), '[]')
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = entity::oid and a.attnum > 0 and not a.attisdropped
          and pg_catalog.has_column_privilege(of_role::oid, entity::oid, a.attnum, 'SELECT')
          and (choice.selected_columns is null or a.attname = any (choice.selected_columns) or a.attname = any (key_names))));
      if act <> 'DELETE' then
        -- What an update did not touch may be missing in the new row; a full identity has it in the old one.
        output.wal := output.wal || pg_catalog.jsonb_build_object('record', (
          select coalesce(pg_catalog.jsonb_object_agg(c.name, c.value), '{}')
          from (
            select n.* from pg_catalog.unnest(new_columns) n
            union all
            select o.* from pg_catalog.unnest(old_columns) o
            where not is_too_large and not exists (select from pg_catalog.unnest(new_columns) n where n.name = o.name)
          ) c
          where c.is_selectable
            and (choice.selected_columns is null or c.name = any (choice.selected_columns) or c.is_pkey)
            and (not is_too_large or pg_catalog.octet_length(c.value::text) <= 64)));
      end if;
      if act <> 'INSERT' then
        output.wal := output.wal || pg_catalog.jsonb_build_object('old_record', (
          select coalesce(pg_catalog.jsonb_object_agg(c.name, c.value), '{}')
          from pg_catalog.unnest(old_columns) c
          where c.is_selectable
            and (choice.selected_columns is null or c.name = any (choice.selected_columns) or c.is_pkey)
            and (act <> 'DELETE' or not has_rls or c.is_pkey)
            and (not is_too_large or pg_catalog.octet_length(c.value::text) <= 64)));
      end if;
      output.subscription_ids := choice.ids;
      output.errors := case when is_too_large then array['Error 413: Payload Too Large'] end;
      return next output;
    end loop;
  end loop;
end
$body$;
-- next
-- Takes what a slot of wal2json has for the tables of a publication. The last row carries the number of changes only.
create or replace function realtime.list_changes(publication name, slot_name name, max_changes integer, max_record_bytes integer)
returns table (wal jsonb, is_rls_enabled boolean, subscription_ids uuid[], errors text[], slot_changes_count bigint)
language sql
as $body$
  with wanted as (
    select pg_catalog.concat_ws(',',
             case when pg_catalog.bool_or(p.pubinsert) then 'insert' end,
             case when pg_catalog.bool_or(p.pubupdate) then 'update' end,
             case when pg_catalog.bool_or(p.pubdelete) then 'delete' end) as actions,
           pg_catalog.string_agg(realtime.quote_wal2json(
             pg_catalog.format('%I.%I', t.schemaname, t.tablename)::pg_catalog.regclass), ',') as tables
    from pg_catalog.pg_publication p
    join pg_catalog.pg_publication_tables t on t.pubname = p.pubname
    where p.pubname = $1
  ),
  changes as materialized (
    select c.ordinality, c.data::jsonb as change
    from wanted
    cross join lateral pg_catalog.pg_logical_slot_get_changes(
      $2, null, $3, 'format-version', '2', 'include-transaction', 'false', 'include-pk', 'true', 'include-timestamp', 'true',
      'include-type-oids', 'true', 'actions', wanted.actions, 'add-tables', wanted.tables
    ) with ordinality c
    where wanted.tables <> '' and wanted.actions <> ''
  ),
  told as materialized (
    select c.ordinality, r.wal, r.is_rls_enabled, r.subscription_ids, r.errors
    from changes c
    cross join lateral realtime.apply_rls(c.change, $4) r
    where pg_catalog.cardinality(r.subscription_ids) > 0
  )
  select wal, is_rls_enabled, subscription_ids, errors, slot_changes_count
  from (
    select t.ordinality, t.wal, t.is_rls_enabled, t.subscription_ids, t.errors, 0::bigint as slot_changes_count from told t
    union all
    select 9223372036854775807, null, null, null, null, (select pg_catalog.count(*) from changes)
  ) everything
  order by ordinality
$body$;
-- next
-- Decoding says much at the level LOG. Who may not set that for a function has it say so.
do $do$
begin
  alter function realtime.list_changes(name, name, integer, integer) set log_min_messages to 'fatal';
exception
  when insufficient_privilege then null;
end
$do$;
