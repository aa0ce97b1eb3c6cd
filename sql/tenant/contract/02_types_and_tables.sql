set local role supabase_realtime_admin;
-- next
create type realtime.action as enum ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');
-- next
create type realtime.equality_op as enum
  ('eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in', 'like', 'ilike', 'is', 'match', 'imatch', 'isdistinct');
-- next
create type realtime.user_defined_filter as (column_name text, op realtime.equality_op, value text, negate boolean);
-- next
create type realtime.wal_column as
  (name text, type_name text, type_oid oid, value jsonb, is_pkey boolean, is_selectable boolean);
-- next
create type realtime.wal_rls as (wal jsonb, is_rls_enabled boolean, subscription_ids uuid[], errors text[]);
-- next
-- What is sent from the database, and what users' policies on channels look at.
create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp without time zone not null default now(),
  inserted_at timestamp without time zone not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  constraint messages_pkey primary key (id, inserted_at)
) partition by range (inserted_at);
-- next
alter table realtime.messages
  add constraint messages_payload_exclusive check (payload is null or binary_payload is null) not valid;
-- next
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;
-- next
alter table realtime.messages enable row level security;
-- next
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
-- next
-- Cast and lookup say in one what the role of some claims is, as its column has to be generated.
create or replace function realtime.to_regrole(role_name text) returns regrole
language sql immutable
as $body$ select pg_catalog.quote_ident(role_name)::pg_catalog.regrole $body$;
-- next
create table realtime.subscription (
  id bigint generated always as identity constraint pk_subscription primary key,
  subscription_id uuid not null,
  entity regclass not null,
  filters realtime.user_defined_filter[] not null default '{}',
  claims jsonb not null,
  claims_role regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
  created_at timestamp without time zone not null default (now() at time zone 'utc'),
  action_filter text default '*',
  selected_columns text[],
  constraint subscription_action_filter_check check (action_filter in ('*', 'INSERT', 'UPDATE', 'DELETE'))
);
-- next
create index ix_realtime_subscription_entity on realtime.subscription (entity);
-- next
create unique index subscription_subscription_id_entity_filters_action_filter_selec on realtime.subscription
  (subscription_id, entity, filters, action_filter, coalesce(selected_columns, '{}'));
-- next
grant select on realtime.subscription to anon, authenticated, service_role;
-- next
grant usage on sequence realtime.subscription_id_seq to anon, authenticated, service_role;
-- next
do $do$
declare
  grantee text;
begin
  for grantee in select rolname from pg_catalog.pg_roles where rolname in ('postgres', 'dashboard_user') loop
    execute format('grant all on realtime.messages, realtime.subscription to %I', grantee);
    execute format('grant all on sequence realtime.subscription_id_seq to %I', grantee);
  end loop;
end
$do$;
