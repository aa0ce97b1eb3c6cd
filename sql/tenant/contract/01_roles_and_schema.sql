-- Roles that nobody can log in as, and the schema.
--
-- The owner of all objects is exempt from the policies on messages, so it must be nobody's login. Roles of the platform that
-- do not exist are passed over; those that tokens name have to be there.
do $do$
declare
  missing text;
  platform_admin constant text := 'supabase_admin';
begin
  select string_agg(wanted, ', ') into missing
  from unnest(array['anon', 'authenticated', 'service_role']) as wanted
  where not exists (select from pg_catalog.pg_roles where rolname = wanted);
  if missing is not null then
    raise exception 'these roles do not exist: %', missing using errcode = 'undefined_object';
  end if;

  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_realtime_admin') then
    begin
      create role supabase_realtime_admin noinherit nologin noreplication;
    exception
      when duplicate_object or unique_violation then null; -- by another database of this server, just now
    end;
    -- Before version 16 who makes a role is no member of it; since then one who may neither use nor become it.
    if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
      execute format('grant supabase_realtime_admin to %I', current_user);
    end if;
    alter role supabase_realtime_admin set search_path to public, extensions, realtime;
  end if;

  -- For who switches back to another server. Nothing of ours needs it, so who may not do it goes on.
  begin
    if current_setting('server_version_num')::int >= 160000 then
      execute 'grant anon, authenticated, service_role to supabase_realtime_admin with inherit false';
    else
      grant anon, authenticated, service_role to supabase_realtime_admin;
    end if;
  exception
    when insufficient_privilege then null;
  end;
  begin
    if current_setting('server_version_num')::int >= 150000 then
      execute 'grant set on parameter log_min_messages to supabase_realtime_admin';
    end if;
  exception
    when insufficient_privilege then null;
  end;

  if not exists (select from pg_catalog.pg_namespace where nspname = 'realtime') then
    if exists (select from pg_catalog.pg_roles where rolname = platform_admin)
       and pg_has_role(current_user, platform_admin, 'MEMBER') then
      execute format('create schema realtime authorization %I', platform_admin);
    else
      create schema realtime;
    end if;
  end if;
end
$do$;
-- next
grant usage on schema realtime to anon, authenticated, service_role;
-- next
grant usage, create on schema realtime to supabase_realtime_admin with grant option;
-- next
-- Where an extension lets the project's owner manage the policies on our tables, that role needs nothing more than USAGE.
-- Elsewhere it gets the rights of the tables' owner.
do $do$
declare
  granted constant text := coalesce(current_setting('supautils.policy_grants', true), '');
  schema_owner constant text := (select pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = 'realtime');
  grantee text;
begin
  if exists (select from pg_catalog.pg_roles where rolname = 'postgres') then
    grant usage on schema realtime to postgres with grant option;
    if strpos(granted, 'realtime.messages') > 0 and strpos(granted, 'realtime.subscription') > 0 then
      revoke create on schema realtime from postgres;
      revoke supabase_realtime_admin from postgres;
    elsif not pg_has_role('postgres', 'supabase_realtime_admin', 'MEMBER') then
      grant supabase_realtime_admin to postgres;
    end if;
  end if;

  if pg_has_role(current_user, schema_owner, 'MEMBER') then
    for grantee in select rolname from pg_catalog.pg_roles where rolname in ('postgres', 'dashboard_user') loop
      execute format('alter default privileges for role %I in schema realtime grant all on tables to %I', schema_owner, grantee);
      execute format('alter default privileges for role %I in schema realtime grant all on sequences to %I', schema_owner, grantee);
      execute format('alter default privileges for role %I in schema realtime grant all on functions to %I', schema_owner, grantee);
    end loop;
  end if;
end
$do$;
-- next
create table if not exists realtime.schema_migrations (
  version bigint primary key,
  inserted_at timestamp(0) without time zone default now()
);
-- next
-- By its count other servers know how far the schema is, so it is nobody's to write.
do $do$
declare
  schema_owner constant text := (select pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = 'realtime');
  holder text;
begin
  if pg_has_role(current_user, schema_owner, 'MEMBER') then
    execute format('alter table realtime.schema_migrations owner to %I', schema_owner);
  end if;
  for holder in
    select distinct case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
    from pg_catalog.pg_class c, aclexplode(c.relacl) a
    where c.oid = 'realtime.schema_migrations'::regclass and a.grantee <> c.relowner
  loop
    execute 'revoke all on realtime.schema_migrations from ' || holder;
  end loop;
end
$do$;
