-- Whether somebody in this role may subscribe to the table by these filters and columns. Raises what is wrong, in the words that
-- clients are told. Gives filters and columns back in order, and beside each filter its value as the type of its column writes it.
--
-- The server calls this too, with whatever search path the database has: types are named as its users name them. All else is of
-- pg_catalog by name, operators too, because a schema of users may be searched first, and what it has would run with our rights.
create or replace function realtime.datafuse_check_subscription(
  entity regclass, role_name text, filters realtime.user_defined_filter[], selected_columns text[],
  out sorted_filters realtime.user_defined_filter[], out sorted_columns text[], out canonical_values text[]
)
language plpgsql stable
as $body$
#variable_conflict use_variable
declare
  readable constant pg_catalog.text[] := (
    select coalesce(pg_catalog.array_agg(a.attname::pg_catalog.text), '{}')
    from pg_catalog.pg_attribute a
    where a.attrelid operator(pg_catalog.=) entity::pg_catalog.oid and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
      and pg_catalog.has_column_privilege(role_name::pg_catalog.name, a.attrelid, a.attname::pg_catalog.text, 'SELECT')
  );
  filter realtime.user_defined_filter;
  op pg_catalog.text;
  column_type pg_catalog.oid;
  type_name pg_catalog.text;
  written pg_catalog.text;
  items integer;
  chosen pg_catalog.text;
  found_filters realtime.user_defined_filter[] := '{}';
  found_values pg_catalog.text[] := '{}';
begin
  foreach filter in array coalesce(filters, '{}') loop
    if filter.column_name is null or not filter.column_name operator(pg_catalog.=) any (readable) then
      raise exception 'invalid column for filter %', filter.column_name;
    end if;
    select a.atttypid into column_type
    from pg_catalog.pg_attribute a
    where a.attrelid operator(pg_catalog.=) entity::pg_catalog.oid
      and a.attname::pg_catalog.text operator(pg_catalog.=) filter.column_name and not a.attisdropped;
    if column_type is null then
      raise exception 'failed to lookup type for column %', filter.column_name;
    end if;
    -- With -1 the name of the type stands for all lengths and precisions.
    type_name := pg_catalog.format_type(column_type, -1);
    written := filter.value;
    op := filter.op::pg_catalog.text;

    if op operator(pg_catalog.=) 'in' then
      execute pg_catalog.format('select (v)::pg_catalog.text, coalesce(pg_catalog.cardinality(v), 0) from (select %L::%s[]) as t(v)',
                                filter.value, type_name) into written, items;
      if items operator(pg_catalog.>) 100 then
        raise exception 'too many values for `in` filter. Maximum 100';
      end if;
    elsif op operator(pg_catalog.=) 'is' then
      if filter.value is null or not filter.value operator(pg_catalog.=) any ('{"null",true,false,unknown}') then
        raise exception 'invalid value for is filter: must be null, true, false, or unknown';
      end if;
      if filter.value operator(pg_catalog.<>) 'null'
        and column_type operator(pg_catalog.<>) 'pg_catalog.bool'::pg_catalog.regtype::pg_catalog.oid then
        raise exception 'is % filter requires a boolean column, got %', filter.value, column_type::pg_catalog.regtype;
      end if;
    elsif op operator(pg_catalog.=) any ('{like,ilike}') then
      if not exists (
        select from pg_catalog.pg_operator o
        where o.oprname operator(pg_catalog.=) '~~' and o.oprleft operator(pg_catalog.=) column_type
      ) then
        raise exception 'operator % requires a text-compatible column type, got %', op, column_type::pg_catalog.regtype;
      end if;
    elsif op operator(pg_catalog.=) any ('{match,imatch}') then
      if not exists (
        select from pg_catalog.pg_operator o
        where o.oprname operator(pg_catalog.=) case when op operator(pg_catalog.=) 'match' then '~'::pg_catalog.name else '~*' end
          and o.oprleft operator(pg_catalog.=) column_type and o.oprright operator(pg_catalog.=) column_type
      ) then
        raise exception 'operator % requires a text-compatible column type, got %', op, column_type::pg_catalog.regtype;
      end if;
      begin
        perform pg_catalog.regexp_match('', filter.value, case when op operator(pg_catalog.=) 'match' then '' else 'i' end);
      exception
        when others then
          raise exception 'invalid regular expression for % filter: %', op, sqlerrm;
      end;
    else
      execute pg_catalog.format('select (%L::%s)::pg_catalog.text', filter.value, type_name) into written;
    end if;
    found_filters := pg_catalog.array_append(found_filters, filter);
    found_values := pg_catalog.array_append(found_values, written);
  end loop;

  foreach chosen in array coalesce(selected_columns, '{}') loop
    if chosen is null or not chosen operator(pg_catalog.=) any (readable) then
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
