-- Whether somebody in this role may subscribe to the table by these filters and columns. Raises what is wrong, in the words that
-- clients are told. Gives filters and columns back in order, and beside each filter its value as the type of its column writes it.
--
-- The server calls this too, with whatever search path the database has. Operators are chosen by the types on both sides, and one of
-- a user's that fits better than ours would run with our rights, so both sides have a type for which there is a built-in one.
create or replace function realtime.datafuse_check_subscription(
  entity regclass, role_name text, filters realtime.user_defined_filter[], selected_columns text[],
  out sorted_filters realtime.user_defined_filter[], out sorted_columns text[], out canonical_values text[]
)
language plpgsql stable
as $body$
#variable_conflict use_variable
declare
  readable constant text[] := (
    select coalesce(pg_catalog.array_agg(a.attname::text), '{}')
    from pg_catalog.pg_attribute a
    where a.attrelid = entity::oid and a.attnum > 0 and not a.attisdropped
      and pg_catalog.has_column_privilege(role_name::name, a.attrelid, a.attname::text, 'SELECT')
  );
  filter realtime.user_defined_filter;
  op text;
  column_type oid;
  type_name text;
  written text;
  items integer;
  chosen text;
  found_filters realtime.user_defined_filter[] := '{}';
  found_values text[] := '{}';
begin
  foreach filter in array coalesce(filters, '{}') loop
    if filter.column_name is null or not filter.column_name = any (readable) then
      raise exception 'invalid column for filter %', filter.column_name;
    end if;
    select a.atttypid into column_type
    from pg_catalog.pg_attribute a
    where a.attrelid = entity::oid and a.attname::text = filter.column_name and not a.attisdropped;
    if column_type is null then
      raise exception 'failed to lookup type for column %', filter.column_name;
    end if;
    -- With -1 the name of the type stands for all lengths and precisions.
    type_name := pg_catalog.format_type(column_type, -1);
    written := filter.value;
    op := filter.op::text;

    if op = 'in' then
      execute pg_catalog.format('select (v)::text, coalesce(pg_catalog.cardinality(v), 0) from (select %L::%s[]) as t(v)',
                                filter.value, type_name) into written, items;
      if items > 100 then
        raise exception 'too many values for `in` filter. Maximum 100';
      end if;
    elsif op = 'is' then
      if filter.value is null or filter.value not in ('null', 'true', 'false', 'unknown') then
        raise exception 'invalid value for is filter: must be null, true, false, or unknown';
      end if;
      if filter.value <> 'null' and column_type <> 'pg_catalog.bool'::regtype::oid then
        raise exception 'is % filter requires a boolean column, got %', filter.value, column_type::regtype;
      end if;
    elsif op in ('like', 'ilike') then
      if not exists (select from pg_catalog.pg_operator o where o.oprname = '~~' and o.oprleft = column_type) then
        raise exception 'operator % requires a text-compatible column type, got %', op, column_type::regtype;
      end if;
    elsif op in ('match', 'imatch') then
      if not exists (
        select from pg_catalog.pg_operator o
        where o.oprname::text = case op when 'match' then '~' else '~*' end
          and o.oprleft = column_type and o.oprright = column_type
      ) then
        raise exception 'operator % requires a text-compatible column type, got %', op, column_type::regtype;
      end if;
      begin
        perform pg_catalog.regexp_match('', filter.value, case op when 'match' then '' else 'i' end);
      exception
        when others then
          raise exception 'invalid regular expression for % filter: %', op, sqlerrm;
      end;
    else
      execute pg_catalog.format('select (%L::%s)::text', filter.value, type_name) into written;
    end if;
    found_filters := pg_catalog.array_append(found_filters, filter);
    found_values := pg_catalog.array_append(found_values, written);
  end loop;

  foreach chosen in array coalesce(selected_columns, '{}') loop
    if chosen is null or not chosen = any (readable) then
      raise exception 'invalid column for select %', chosen;
    end if;
  end loop;

  select coalesce(pg_catalog.array_agg(row(c, o, a, n)::realtime.user_defined_filter order by c, o, a, n), '{}'),
         coalesce(pg_catalog.array_agg(v order by c, o, a, n), '{}')
  into sorted_filters, canonical_values
  from rows from (pg_catalog.unnest(found_filters), pg_catalog.unnest(found_values)) as t(c, o, a, n, v);
  if selected_columns is not null then
    sorted_columns := array(select c from pg_catalog.unnest(selected_columns) c order by c);
  end if;
end
$body$;
-- next
create or replace function realtime.subscription_check_filters() returns trigger
language plpgsql
as $body$
begin
  select c.sorted_filters, c.sorted_columns into new.filters, new.selected_columns
  from realtime.datafuse_check_subscription(new.entity, new.claims ->> 'role', new.filters, new.selected_columns) c;
  return new;
end
$body$;
