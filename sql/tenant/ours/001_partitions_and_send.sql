set local role supabase_realtime_admin;
-- next
-- Makes the partition of a day, unless it is there. True: it was not. Not for everybody: it makes whichever day is asked for.
--
-- Attached rather than created in place, which would wait for everybody who has ever written to the table in an open
-- transaction, and have all others wait for that.
create or replace function realtime.datafuse_make_partition(day date) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
  name constant text := 'messages_' || to_char(day, 'YYYY_MM_DD');
begin
  lock table only realtime.messages in share update exclusive mode;
  if exists (
    select from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::regclass and c.relname = name
  ) then
    return false;
  end if;
  execute format('create table realtime.%I (like realtime.messages including all excluding identity excluding indexes)', name);
  execute format('alter table realtime.messages attach partition realtime.%I for values from (%L) to (%L)',
                 name, to_char(day, 'YYYY-MM-DD'), to_char(day + 1, 'YYYY-MM-DD'));
  return true;
end
$body$;
-- next
revoke all on function realtime.datafuse_make_partition(date) from public;
-- next
-- For the send functions, so for everybody: around now only, as far as time zones go.
create or replace function realtime.datafuse_make_partition_of(stamp timestamp without time zone) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
  utc_now constant timestamp := clock_timestamp() at time zone 'utc';
begin
  if stamp is null or stamp not between utc_now - interval '15 hours' and utc_now + interval '15 hours' then
    raise exception 'no partition of relation "messages" is made for %, which is not now', stamp;
  end if;
  if not realtime.datafuse_make_partition(stamp::date) then
    -- Somebody else made it, just now. A session that was reading the list of partitions at that moment, for the first time,
    -- may have missed it for good: until something about the table changes, as it does here and changes nothing.
    execute (
      select format('alter table only realtime.messages alter column extension set statistics %s', coalesce(attstattarget, -1))
      from pg_attribute
      where attrelid = 'realtime.messages'::regclass and attname = 'extension'
    );
  end if;
end
$body$;
-- next
-- One row, under the rights of whoever calls; what goes wrong is a warning and no error. A function of its own only because
-- the two below differ in nothing else.
create or replace function realtime.datafuse_send(payload jsonb, binary_payload bytea, event text, topic text, private boolean)
returns void
language plpgsql
as $body$
declare
  message_id constant uuid := pg_catalog.gen_random_uuid();
  stamp constant timestamp := pg_catalog.clock_timestamp(); -- not now(), so that calls of one transaction keep their order
  is_second_try boolean := false;
  constraint_hit text;
  table_hit text;
begin
  loop
    begin
      if is_second_try then
        perform realtime.datafuse_make_partition_of(stamp);
      end if;
      if topic is null then
        raise exception 'syntax error at or near "NULL"' using errcode = 'syntax_error';
      end if;
      perform pg_catalog.set_config('realtime.topic', topic, true);
      insert into realtime.messages (id, payload, binary_payload, event, topic, private, extension, inserted_at)
      values (
        message_id,
        case
          when payload operator(pg_catalog.?) 'id' then payload
          else pg_catalog.jsonb_set(payload, '{id}'::text[], pg_catalog.to_jsonb(message_id::text))
        end,
        binary_payload, event, topic, private, 'broadcast', stamp);
      return;
    exception
      when others then
        get stacked diagnostics constraint_hit = constraint_name, table_hit = table_name;
        -- Without the name of a constraint: there is no partition.
        if is_second_try or sqlstate <> '23514' or constraint_hit <> '' or table_hit <> 'messages' then
          raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
          return;
        end if;
        is_second_try := true;
    end;
  end loop;
end
$body$;
-- next
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language sql
as $body$ select realtime.datafuse_send(payload, null, event, topic, private) $body$;
-- next
create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
returns void
language sql
as $body$ select realtime.datafuse_send(null, payload, event, topic, private) $body$;
