-- For policies: the channel that is asked about, without its `realtime:`.
create or replace function realtime.topic() returns text
language sql stable
as $body$ select nullif(pg_catalog.current_setting('realtime.topic', true), '') $body$;
-- next
-- For row triggers: tells a topic what became of a row.
create or replace function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text, new record, old record,
  level text default 'ROW'
) returns void
language plpgsql
as $body$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  end if;
  if operation is null or operation not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'Unexpected operation type: %', operation;
  end if;
  perform realtime.send(
    pg_catalog.jsonb_build_object(
      'operation', operation, 'schema', table_schema, 'table', table_name, 'record', $6, 'old_record', $7),
    event_name, topic_name);
exception
  when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$body$;
