create trigger tr_check_filters before insert or update on realtime.subscription
  for each row execute function realtime.subscription_check_filters();
-- next
do $do$
declare
  grantee text;
begin
  for grantee in select rolname from pg_catalog.pg_roles where rolname in ('postgres', 'dashboard_user') loop
    execute format('grant execute on function
      realtime.topic(), realtime.send(jsonb, text, text, boolean), realtime.send_binary(bytea, text, text, boolean),
      realtime.broadcast_changes(text, text, text, text, text, record, record, text),
      realtime.subscription_check_filters(), realtime.to_regrole(text), realtime."cast"(text, regtype),
      realtime.check_equality_op(realtime.equality_op, regtype, text, text),
      realtime.check_equality_op(realtime.equality_op, regtype, text, text, boolean),
      realtime.is_visible_through_filters(realtime.wal_column[], realtime.user_defined_filter[]),
      realtime.build_prepared_statement_sql(text, regclass, realtime.wal_column[]), realtime.apply_rls(jsonb, integer),
      realtime.list_changes(name, name, integer, integer), realtime.quote_wal2json(regclass),
      realtime.wal2json_escape_identifier(text) to %I', grantee);
  end loop;
end
$do$;
-- next
grant execute on function
  realtime.subscription_check_filters(), realtime.to_regrole(text), realtime."cast"(text, regtype),
  realtime.check_equality_op(realtime.equality_op, regtype, text, text),
  realtime.check_equality_op(realtime.equality_op, regtype, text, text, boolean),
  realtime.is_visible_through_filters(realtime.wal_column[], realtime.user_defined_filter[]),
  realtime.build_prepared_statement_sql(text, regclass, realtime.wal_column[]), realtime.apply_rls(jsonb, integer),
  realtime.quote_wal2json(regclass) to anon, authenticated, service_role;
-- next
set local role none;
-- next
-- The versions that other servers of this schema count.
insert into realtime.schema_migrations (version) values
  (20211116024918), (20211116045059), (20211116050929), (20211116051442), (20211116212300), (20211116213355),
  (20211116213934), (20211116214523), (20211122062447), (20211124070109), (20211202204204), (20211202204605),
  (20211210212804), (20211228014915), (20220107221237), (20220228202821), (20220312004840), (20220603231003),
  (20220603232444), (20220615214548), (20220712093339), (20220908172859), (20220916233421), (20230119133233),
  (20230128025114), (20230128025212), (20230227211149), (20230228184745), (20230308225145), (20230328144023),
  (20231018144023), (20231204144023), (20231204144024), (20231204144025), (20240108234812), (20240109165339),
  (20240227174441), (20240311171622), (20240321100241), (20240401105812), (20240418121054), (20240523004032),
  (20240618124746), (20240801235015), (20240805133720), (20240827160934), (20240919163303), (20240919163305),
  (20241019105805), (20241030150047), (20241108114728), (20241121104152), (20241130184212), (20241220035512),
  (20241220123912), (20241224161212), (20250107150512), (20250110162412), (20250123174212), (20250128220012),
  (20250506224012), (20250523164012), (20250714121412), (20250905041441), (20251103001201), (20251120212548),
  (20251120215549), (20260218120000), (20260326120000), (20260514120000), (20260527120000), (20260528120000),
  (20260603120000), (20260605120000), (20260606110000), (20260616120000), (20260624120000), (20260626120000),
  (20260706120000), (20260707120000), (20260709120000);
