-- PL/pgSQL, because an exception block rolls back what a refused deletion began and can name the table that refused.

-- Runs as auth_eraser, whom delete_user becomes for this one call. Deleting a user follows the foreign keys of applications, and on
-- PostgreSQL before 18 the AFTER triggers of their tables run as whoever deletes: as auth_owner they could read every hash and make
-- anybody an administrator. Take it that anybody can become auth_eraser: it can delete the one row that is being deleted, and owns
-- nothing of ours, not even this function, for who owns a function can alter it; and while it deletes, nobody is signed in and nothing can be put off to a later moment.
create function auth_private.erase_user(target uuid, out deleted boolean, out blocked_by text)
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    blocking_schema text;
    blocking_table  text;
begin
    delete from auth.users u where u.id operator(pg_catalog.=) target;
    deleted := found;
exception
    when foreign_key_violation or restrict_violation then
        get stacked diagnostics blocking_schema = schema_name, blocking_table = table_name;
        deleted := false;
        blocked_by := case when blocking_table operator(pg_catalog.<>) '' then pg_catalog.format('%I.%I', blocking_schema, blocking_table)
                           else 'a trigger' end;
    -- Something tried to outlive the deletion, or to do what nobody may.
    when insufficient_privilege then
        deleted := false;
        blocked_by := 'a trigger';
end
$$;
comment on function auth_private.erase_user is 'Deletes a user, or says which table''s foreign key forbids it.';

-- These run as their caller, auth_owner, so the policies decide.

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

create function auth_private.update_email_row(target uuid, address text, verified boolean) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- A new address is unverified unless said otherwise.
    update auth.users u
       set email = coalesce(address, u.email),
           email_verified = coalesce(verified, u.email_verified and (address is null or address operator(pg_catalog.=) u.email)),
           updated_at = pg_catalog.clock_timestamp()
     where u.id operator(pg_catalog.=) target;
    return case when found then true end;
exception when unique_violation then
    return false;
end
$$;
comment on function auth_private.update_email_row is 'Writes over address and verification; false when somebody else has the address, null when there is no such user.';

create function auth_private.register_provider_user(
    address text, address_verified boolean, user_name text, of_provider text, of_provider_user_id text, out account_id uuid, out user_id uuid)
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth.users as u (email, email_verified, name) values (address, address_verified, user_name) returning u.id into user_id;
    insert into auth.user_roles (user_id, role) values (register_provider_user.user_id, 'user');
    insert into auth.accounts as a (user_id, provider, provider_user_id)
    values (register_provider_user.user_id, of_provider, of_provider_user_id) returning a.id into account_id;
exception when unique_violation then
    account_id := null;
    user_id := null;
end
$$;
comment on function auth_private.register_provider_user is 'Creates a user with an account of a provider; all null when the address or the account is somebody''s.';

create function auth_private.update_account_row(of_user uuid, of_provider text, new_provider_user_id text) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    update auth.accounts a set provider_user_id = new_provider_user_id, updated_at = pg_catalog.clock_timestamp()
     where a.id operator(pg_catalog.=) (select o.id from auth.accounts o
                                         where o.user_id operator(pg_catalog.=) of_user and o.provider operator(pg_catalog.=) of_provider
                                         order by o.created_at using operator(pg_catalog.<), o.id using operator(pg_catalog.<) limit 1);
    return case when found then true end;
exception when unique_violation then
    return false;
end
$$;
comment on function auth_private.update_account_row is 'Gives the oldest account of a provider another identifier; false when that is somebody''s, null when there is no such account.';
