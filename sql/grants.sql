-- Who may do what, on one page.

-- An installer's ALTER DEFAULT PRIVILEGES (hosting platforms have them) would leave every table readable by "anon", and
-- PostgreSQL itself gives EXECUTE on functions to PUBLIC. So first everything goes to auth_owner and from everybody else.
do $strip$
declare
    thing record;
begin
    for thing in
        select case when c.relkind operator(pg_catalog.=) 'S' then 'sequence' when c.relkind operator(pg_catalog.=) 'v' then 'view' else 'table' end as kind,
               pg_catalog.format('%I.%I', n.nspname, c.relname) as name, c.relacl as acl, c.relowner as owner, c.relkind::text
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
         where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}') and c.relkind operator(pg_catalog.=) any ('{r,v,S}')
        union all
        select 'function', p.oid::regprocedure::text, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), p.proowner, 'f'
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}')
        union all
        select 'schema', n.nspname, n.nspacl, n.nspowner, 'n'
          from pg_catalog.pg_namespace n where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}')
         order by 5 -- tables before the sequences that follow their owner
    loop
        execute pg_catalog.format('revoke all on %s %s from public', case when thing.kind operator(pg_catalog.=) 'view' then 'table' else thing.kind end, thing.name);
        declare
            grantee record;
        begin
            for grantee in
                select distinct pg_catalog.quote_ident(r.rolname) as name
                  from pg_catalog.aclexplode(thing.acl) a join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) a.grantee
                 where a.grantee operator(pg_catalog.<>) thing.owner
            loop
                execute pg_catalog.format('revoke all on %s %s from %s cascade', case when thing.kind operator(pg_catalog.=) 'view' then 'table' else thing.kind end, thing.name, grantee.name);
            end loop;
        end;
        if thing.kind operator(pg_catalog.<>) 'sequence' then
            execute pg_catalog.format('alter %s %s owner to auth_owner', thing.kind, thing.name);
        end if;
    end loop;
end
$strip$;

-- The doors.
grant create on schema auth, auth_private to auth_door, auth_role_manager;
do $doors$
declare
    door text;
begin
    for door in
        select p.oid::regprocedure::text
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where p.prosecdef
           and ((n.nspname operator(pg_catalog.=) 'auth_private')
             or (n.nspname operator(pg_catalog.=) 'auth'
                 and p.proname operator(pg_catalog.=) any ('{uid,session_id,actor_id,current_user_roles,has_permission,has_permissions,use_session,get_session,jwks,postgrest_config}')))
    loop
        execute pg_catalog.format('alter function %s owner to auth_door', door);
        execute pg_catalog.format('grant execute on function %s to auth_owner', door);
    end loop;
end
$doors$;
do $managers$
declare
    manager text;
begin
    for manager in
        select p.oid::regprocedure::text
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where n.nspname operator(pg_catalog.=) 'auth'
           and p.proname operator(pg_catalog.=) any ('{create_role,list_roles,get_role,reset_role_password,set_role_verifier,delete_role,protect_role}')
    loop
        execute pg_catalog.format('alter function %s owner to auth_role_manager', manager);
    end loop;
end
$managers$;
alter view auth_private.user_directory owner to auth_door;
alter view auth_private.live_sessions owner to auth_door;
revoke create on schema auth, auth_private from auth_door, auth_role_manager;

grant usage on schema auth to anon, authenticated, auth_admin, auth_mailer, auth_door, auth_eraser, auth_role_manager;
grant usage on schema auth_private to auth_door, auth_eraser, auth_role_manager;

-- What auth_door needs and no more: it can delete no user, make no ban and read no audit log.
grant select, insert on auth.users, auth.user_roles, auth.accounts to auth_door;
grant update (last_sign_in_at, email, email_verified, updated_at) on auth.users to auth_door;
grant update (updated_at), delete on auth.accounts to auth_door;
grant select, insert, update on auth.sessions, auth_private.session_keys, auth_private.session_epochs to auth_door;
grant delete on auth.sessions, auth.bans, auth_private.session_epochs to auth_door;
grant update (created_at) on auth.bans to auth_door; -- to lock rows
grant update (address) on auth_private.rival_sign_ups to auth_door; -- to lock rows
grant update (failed_at) on auth_private.failed_attempts to auth_door; -- to lock rows
grant select, insert, update, delete on auth_private.passwords, auth_private.messages, auth_private.one_time_tokens to auth_door;
grant select, insert, delete on auth_private.rival_sign_ups to auth_door;
grant select, update on auth_private.admin_guard to auth_door;
grant select on auth.bans, auth.roles, auth.role_permissions to auth_door;
grant update (updated_at) on auth.roles to auth_door; -- to lock a row
grant select, insert, delete on auth_private.failed_attempts to auth_door;
grant insert on auth.audit_log to auth_door;
grant select on auth_private.signing_keys to auth_door;
revoke all on auth_private.signing_secrets from auth_door; -- it has nothing; written down as the update from 0.1.0 leaves it
grant select, insert, update, delete on auth_private.directory_counts, auth_private.directory_facets to auth_door;
grant execute on function auth_private.new_id to auth_door;
grant select on auth_private.user_directory, auth_private.live_sessions to auth_owner;

-- What auth_eraser needs: code of strangers runs as it.
grant select (id), delete on auth.users to auth_eraser;
grant execute on function auth_private.erasing, auth_private.erase_user to auth_eraser;

-- What auth_role_manager needs: it knows its roles, who is calling, and how to say so.
grant select, insert, update, delete on auth_private.managed_roles to auth_role_manager;
grant execute on function auth_private.holds_any, auth.has_permission to auth_role_manager;

-- Tables, under row-level security; no column of theirs is secret, and nobody but pg_auth writes.
grant select on auth.users, auth.accounts, auth.sessions, auth.user_roles, auth.bans, auth.roles, auth.role_permissions, auth.audit_log to authenticated;
-- No REFERENCES: PostgreSQL checks a foreign key as the owner of the table that it refers to, and with it a cast to uuid that whoever
-- made the key has written. A superuser adds such keys, or gives the privilege to a role that is trusted with everything here.

-- auth.postgrest_config is for a gateway's login role, which the application grants it to.

-- Functions for callers without identity…
grant execute on function
    auth.sign_up, auth.sign_in, auth.refresh_session, auth.use_session, auth.reset_session, auth.get_session,
    auth.uid, auth.session_id, auth.actor_id, auth.current_user_roles, auth.has_permission,
    auth.request_password_reset, auth.reset_password, auth.send_verification_email, auth.verify_email,
    auth.pre_request, auth.jwks
    to anon, authenticated;

-- … and for callers with one, where the function decides.
grant execute on function
    auth.has_permissions, auth.sign_out, auth.list_sessions, auth.revoke_session, auth.revoke_sessions, auth.revoke_other_sessions,
    auth.get_user, auth.get_user_by_email, auth.create_user, auth.update_user, auth.update_user_attributes, auth.delete_user,
    auth.list_users, auth.list_users_page,
    auth.change_password, auth.verify_password, auth.set_password, auth.set_user_password,
    auth.ban_user, auth.unban_user, auth.list_user_sessions, auth.revoke_user_session, auth.revoke_user_sessions,
    auth.impersonate_user, auth.stop_impersonating,
    auth.create_role, auth.list_roles, auth.get_role, auth.reset_role_password, auth.set_role_verifier, auth.delete_role, auth.protect_role,
    auth.set_user_roles, auth.define_user_role, auth.drop_user_role, auth.list_user_roles, auth.list_audit_log,
    auth.rotate_signing_key,
    auth.change_email, auth.list_accounts, auth.link_account, auth.unlink_account, auth.sign_in_with_provider,
    auth.get_user_by_provider_id, auth.update_user_provider_id, auth.import_users, auth.list_messages, auth.retry_message,
    auth.purge_expired, auth.check_deployment, auth.verify_install
    to authenticated;

-- The mailer sees tokens: it gets these three functions, and nobody else gets them.
grant execute on function auth.claim_messages, auth.complete_message, auth.fail_message to auth_mailer;
