-- These run as their caller, auth_owner, so the policies decide. PL/pgSQL, because an exception block rolls back what the
-- refused deletion began and can name the table that refused.

create function auth_private.delete_user_row(target uuid, out deleted boolean, out blocked_by text)
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    blocking_schema text;
    blocking_table  text;
begin
    delete from auth.users u where u.id operator(pg_catalog.=) target;
    deleted := found;
exception when foreign_key_violation or restrict_violation then
    get stacked diagnostics blocking_schema = schema_name, blocking_table = table_name;
    deleted := false;
    blocked_by := pg_catalog.format('%I.%I', blocking_schema, blocking_table);
end
$$;
comment on function auth_private.delete_user_row is 'Deletes a user, or says which table''s foreign key forbids it.';

create function auth_private.drop_role_row(role_name text) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    delete from auth.roles r where r.name operator(pg_catalog.=) role_name;
    return case when found then true end;
exception when foreign_key_violation or restrict_violation then
    return false;
end
$$;
comment on function auth_private.drop_role_row is 'Drops an application role; false when somebody holds it, null when there is none.';
