do $encoding$
begin
    -- Names, addresses and passwords are Unicode; in another encoding many of them cannot be stored.
    if pg_catalog.getdatabaseencoding() operator(pg_catalog.<>) 'UTF8' then
        raise exception using errcode = 'feature_not_supported',
            message = pg_catalog.format('pg_auth cannot be installed: the encoding of this database is %s and must be UTF8', pg_catalog.getdatabaseencoding());
    end if;
end
$encoding$;

-- Roles are cluster-wide: a second database finds them made. Whoever could make one of them first with more power than
-- intended would own every user, so the installation looks at each before it trusts it.
do $roles$
declare
    wanted record;
    present record;
begin
    for wanted in
        select * from (values
            ('anon',          false, false, 'callers without identity'),
            ('authenticated', false, false, 'callers with one'),
            ('auth_admin',    false, false, 'DBAs and trusted services: everything, without a session'),
            ('auth_mailer',   false, false, 'the process that delivers mail'),
            ('auth_owner',    true,  false, 'owns the tables and functions of pg_auth'),
            ('auth_door',     true,  false, 'owns the doors of pg_auth: what happens before there is an identity'),
            ('auth_eraser',   true,  false, 'deletes a user''s row in pg_auth; anybody''s code may run as it, so give it nothing'),
            ('auth_role_manager', true, true, 'owns the functions of pg_auth that manage database roles')
        ) as role(name, internal, makes_roles, purpose)
    loop
        select r.rolsuper, r.rolbypassrls, r.rolcanlogin, r.rolcreaterole,
               exists (select from pg_catalog.pg_auth_members m where m.roleid operator(pg_catalog.=) r.oid) as has_members
          into present
          from pg_catalog.pg_roles r
         where r.rolname operator(pg_catalog.=) wanted.name;
        if not found then
            execute pg_catalog.format('create role %I nologin %s', wanted.name, case when wanted.makes_roles then 'createrole' else '' end);
            execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.purpose);
        elsif present.rolsuper or present.rolbypassrls then
            raise exception using errcode = 'insufficient_privilege',
                message = pg_catalog.format('pg_auth cannot be installed: the role "%s" already exists and is a superuser or bypasses row-level security', wanted.name),
                hint = 'Rename or drop that role, or take these attributes from it.';
        elsif wanted.internal and (present.rolcanlogin or present.rolcreaterole operator(pg_catalog.<>) wanted.makes_roles or present.has_members) then
            raise exception using errcode = 'insufficient_privilege',
                message = pg_catalog.format('pg_auth cannot be installed: the role "%s" already exists and can log in, create roles or be used by its members', wanted.name),
                hint = 'That role owns everything in pg_auth; nobody else may be able to become it.';
        -- CREATE EXTENSION lets no notice through.
        elsif wanted.name operator(pg_catalog.=) 'auth_admin' and present.has_members then
            raise warning 'the role auth_admin already exists: its members will administer this database too';
        elsif wanted.name operator(pg_catalog.=) 'auth_mailer' and present.has_members then
            raise warning 'the role auth_mailer already exists: its members will read the mail of this database too, and the tokens in it';
        end if;
    end loop;
    if not pg_catalog.pg_has_role('auth_admin', 'authenticated', 'member') then
        -- auth_admin may call and read whatever a signed-in user may; what it finds there is decided by has_permission().
        grant authenticated to auth_admin;
    end if;
end
$roles$;
