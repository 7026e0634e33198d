-- Views with the names and the columns of our tables and of the catalogue's, which say so when they are read. In {schema}.
do $$
declare
    v record;
begin
    for v in
        select c.relname, string_agg(format('null::%s as %I', format_type(a.atttypid, a.atttypmod), a.attname), ', ' order by a.attnum) as columns
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'v') and (n.nspname in ('auth', 'auth_private') or n.nspname = 'pg_catalog' and c.relname = any ('{{names}}'::name[]))
         group by c.oid, c.relname
    loop
        execute format('create view {schema}.%I as select %s where public.bark(%L)', v.relname, replace(v.columns, '::anyarray', '::text'), '{schema} view ' || v.relname);
    end loop;
end
$$;
