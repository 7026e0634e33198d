//! Code of others that PostgreSQL runs behind the caller's back: none of it acts with the caller's rights.

use pgrx_tests::{Actor, Database};
use uuid::Uuid;

/// A login role that may create tables, with a user of their own, and a log of what their code found.
fn arranged() -> (Database, Actor, Uuid) {
    let db = Database::new();
    let mallory = db.user("Mallory");
    db.dba().run(&format!(
        "create schema shop authorization app;
         grant references (id) on auth.users to app;
         set role app;
         create table shop.log (found text);
         create function shop.attempt(target uuid) returns void language plpgsql as $$
         begin
             insert into shop.log values (format('%s %s %s', current_user, coalesce(auth.uid()::text, 'nobody'), auth.has_permission('user:ban')));
         exception when others then insert into shop.log values (format('%s: %s', current_user, sqlerrm)); end $$;
         create function shop.rise() returns void language plpgsql as $$
         begin perform auth.set_user_roles('{id}', '{{admin}}'); exception when others then null; end $$;
         create function shop.rise_as_owner() returns void language plpgsql security definer as $$
         begin
             begin perform auth.reset_session(); exception when others then null; end;
             begin execute 'reset all'; exception when others then null; end;
             begin execute 'discard all'; exception when others then null; end;
             begin perform auth.use_session('{token}', false); exception when others then null; end;
             begin perform auth.set_user_roles('{id}', '{{admin}}'); exception when others then null; end;
         end $$;
         create function shop.grab() returns void language plpgsql as $$
         begin
             begin execute 'create policy own on auth.user_roles to auth_owner using (true) with check (true)'; exception when others then null; end;
             begin execute 'grant select on auth_private.passwords to app'; exception when others then null; end;
             begin insert into auth.user_roles values ('{id}', 'admin'); exception when others then null; end;
             begin delete from auth.users where id = '{id}'; exception when others then null; end;
             begin delete from auth.users; exception when others then null; end;
             begin execute 'create table auth.own ()'; exception when others then null; end;
             begin execute 'set role auth_owner'; exception when others then null; end;
         end $$;
         create function shop.trigger() returns trigger language plpgsql as $$
         begin
             perform shop.attempt(null); perform shop.rise(); perform shop.rise_as_owner(); perform shop.grab();
             if tg_op = 'DELETE' then return old; end if;
             return new;
         end $$;
         grant usage on schema shop to public; grant insert on shop.log to public;
         grant execute on all functions in schema shop to public;
         reset role",
        id = mallory.id,
        token = mallory.token
    ));
    let id = mallory.id;
    (db, mallory, id)
}

fn nothing_happened(db: &Database, mallory: Uuid) {
    let mut dba = db.dba();
    let roles: Vec<String> = dba.column(&format!("select role from auth.user_roles where user_id = '{mallory}'"));
    assert_eq!(roles, ["user"]);
    assert!(!dba.one::<bool>(
        "select has_table_privilege('app', 'auth_private.passwords', 'select') or has_schema_privilege('app', 'auth_private', 'usage')"
    ));
    assert_eq!(dba.one::<i64>("select count(*) from pg_policy where polname = 'own'"), 0);
    assert_eq!(dba.one::<i64>("select count(*) from pg_class where relnamespace = 'auth'::regnamespace and relname = 'own'"), 0);
}

/// PostgreSQL checks a foreign key as the owner of the table that it refers to, and casts what it checks with whatever cast there is.
#[test]
fn nobody_makes_a_foreign_key_to_users_but_who_is_trusted_with_everything() {
    let (db, ..) = arranged();
    let mut dba = db.dba();
    dba.run("revoke references (id) on auth.users from app");
    let mut app = db.app();
    app.run(
        "create type shop.evil as enum ('a');
         create function shop.to_uuid(shop.evil) returns uuid language plpgsql as $$
         begin insert into shop.log values (current_user); return (select id from auth.users limit 1); end $$;
         create cast (shop.evil as uuid) with function shop.to_uuid(shop.evil) as implicit;
         create table shop.bait (id shop.evil, named uuid); insert into shop.bait values ('a', null)",
    );
    for statement in [
        "create table shop.t (id shop.evil references auth.users)",
        "create table shop.t (id uuid references auth.users)",
        "alter table shop.bait add foreign key (id) references auth.users",
        "alter table shop.bait add foreign key (id) references auth.users not valid",
    ] {
        app.is_refused(statement, "42501", "permission denied for table users");
    }
    // A key that a superuser has made lets them in no more.
    dba.run("alter table shop.bait add foreign key (named) references auth.users");
    app.is_refused("alter table shop.bait alter named type shop.evil using 'a'::shop.evil", "42501", "permission denied for table users");
    assert_eq!(dba.one::<i64>("select count(*) from shop.log"), 0);
    // What the privilege is worth.
    dba.run("grant references (id) on auth.users to app");
    app.run("alter table shop.bait add foreign key (id) references auth.users");
    assert_eq!(dba.column::<String>("select distinct found from shop.log"), ["auth_owner"]);
}

#[test]
fn expressions_of_an_index_have_no_trust_in_maintenance() {
    let (db, _, mallory) = arranged();
    db.dba().run(
        "set role app;
         create function shop.f(int) returns int language plpgsql immutable as $$ begin perform shop.rise(); return $1; end $$;
         create table shop.victim as select generate_series(1, 50) x;
         create index on shop.victim (shop.f(x));
         create materialized view shop.view as select shop.f(x) from shop.victim limit 1",
    );
    let root = db.admin("Root");
    for statement in [
        "analyze shop.victim",
        "vacuum full shop.victim",
        "reindex table shop.victim",
        "refresh materialized view shop.view",
        "create index on shop.victim (shop.f(x + 1))",
    ] {
        let mut dba = db.dba();
        dba.run(statement);
        dba.run(&format!("select auth.use_session('{}', false)", root.token));
        dba.run(statement);
    }
    nothing_happened(&db, mallory);
}

/// The triggers of a table whose foreign key follows a deletion: before and after it, at once and deferred; of whoever deletes.
#[test]
fn triggers_that_follow_a_deletion_run_as_nobody() {
    for timing in ["before delete on shop.t", "after delete on shop.t", "constraint after delete on shop.t deferrable initially deferred"] {
        let (db, _, mallory) = arranged();
        let (victim, other, mut root) = (db.user("Victim"), db.user("Other"), db.admin("Root"));
        let constraint = if timing.starts_with("constraint") { "constraint " } else { "" };
        db.dba().run(&format!(
            "set role app;
             create table shop.t (id uuid references auth.users on delete cascade);
             create {constraint}trigger t {} for each row execute function shop.trigger();
             insert into shop.t values ('{}'), ('{}')",
            timing.trim_start_matches("constraint "),
            victim.id,
            other.id
        ));
        assert!(root.one::<bool>(&format!("select auth.delete_user('{}')", victim.id)));
        assert!(root.is_signed_in());
        assert!(db.dba().one::<bool>(&format!("select auth.delete_user('{}')", other.id)), "by a superuser");
        let found: Vec<String> = db.dba().column("select found from shop.log");
        assert_eq!(found.len(), 2, "{timing}: it did run: {found:?}");
        for line in &found {
            assert!(!line.contains("auth_owner") && !line.contains("postgres") && !line.ends_with(" t"), "{timing}: {found:?}");
        }
        nothing_happened(&db, mallory);
        assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 2, "{timing}: and nobody else is gone");
    }
}

/// What would run later, when whoever deletes is somebody again, or as the role that deletes: none of it is left.
#[test]
fn nothing_that_a_deletion_lets_in_stays() {
    let (db, _, mallory) = arranged();
    let (victim, other, mut root) = (db.user("Victim"), db.user("Other"), db.admin("Root"));
    db.dba().run(&format!(
        "set role app;
         create function shop.late() returns boolean language plpgsql as $$
         begin
             insert into shop.log values ('late ' || current_user || ' ' || auth.has_permission('user:ban'));
             begin perform shop.rise(); exception when others then null; end;
             begin execute 'alter role app superuser'; exception when others then null; end;
             return true;
         end $$;
         grant execute on function shop.late() to public;
         create table shop.q (n int); grant insert on shop.q to public;
         create function shop.on_q() returns trigger language plpgsql as $$ begin perform shop.late(); return null; end $$;
         create constraint trigger q after insert on shop.q deferrable initially deferred for each row execute function shop.on_q();
         create table shop.t (id uuid references auth.users on delete cascade);
         create function shop.on_t() returns trigger language plpgsql as $$
         declare attempt text;
         begin
             foreach attempt in array array[
                 'alter function auth_private.erase_user(uuid) security definer', 'alter function auth_private.erase_user(uuid) owner to app',
                 'set constraints shop.q deferred', 'insert into shop.q values (1)',
                 'declare c cursor with hold for select shop.late()', 'prepare s1 as select shop.late()', 'create temp view users as select 1',
                 'set search_path = shop, pg_catalog', 'set role app', 'reset all', 'listen x']
             loop
                 begin execute attempt; exception when others then null; end;
             end loop;
             return null;
         end $$;
         create trigger t after delete on shop.t for each row execute function shop.on_t();
         insert into shop.t values ('{}'), ('{}')",
        victim.id, other.id
    ));
    root.run("set application_name = 'mine'");
    assert!(root.one::<bool>(&format!("select auth.delete_user('{}')", victim.id)));
    assert!(root.is_signed_in() && root.one::<String>("show search_path") != "shop, pg_catalog");
    assert_eq!(root.one::<String>("show application_name"), "mine", "what was reset within is as before");
    let mut dba = db.dba();
    assert!(dba.one::<bool>(&format!("select auth.delete_user('{}')", other.id)));
    for actor in [&mut root, &mut dba] {
        assert_eq!(actor.one::<i64>("select (select count(*) from pg_cursors where name = 'c') + (select count(*) from pg_prepared_statements where name = 's1')"), 0);
    }
    assert!(!dba.one::<bool>("select prosecdef from pg_proc where proname = 'erase_user'"));
    assert!(!dba.one::<bool>("select rolsuper from pg_roles where rolname = 'app'"));
    assert_eq!(
        dba.one::<i64>("select count(*) from pg_class where relowner = 'auth_eraser'::regrole")
            + dba.one::<i64>("select count(*) from pg_proc where proowner = 'auth_eraser'::regrole"),
        0
    );
    let late: Vec<String> = dba.column("select found from shop.log where found like 'late%'");
    assert!(late.iter().all(|line| line.ends_with(" false") || line.ends_with(" f")), "{late:?}");
    nothing_happened(&db, mallory);
}

#[test]
fn parallel_workers_of_a_trigger_know_nobody_either() {
    let (db, _, _) = arranged();
    let (victim, other, mut root) = (db.user("Victim"), db.user("Other"), db.admin("Root"));
    db.dba().run(&format!(
        "set role app;
         create table shop.big as select generate_series(1, 20000) x;
         create function shop.leak(int) returns text language plpgsql stable parallel safe as $$
         begin return coalesce(auth.uid()::text, 'nobody') || ' ' || auth.has_permission('user:ban') || ' ' || (select count(*) from auth.users); end $$;
         create function shop.in_parallel() returns void language plpgsql security definer as $$
         declare leaked text; plan text;
         begin
             set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0;
             set local parallel_leader_participation = off; set local max_parallel_workers_per_gather = 2;
             execute 'select max(l) from (select shop.leak(x) l from shop.big where x <= 3 offset 0) s' into leaked;
             insert into shop.log values (leaked);
         end $$;
         create table shop.t (id uuid references auth.users on delete cascade);
         create function shop.on_t() returns trigger language plpgsql as $$ begin perform shop.in_parallel(); return null; end $$;
         grant execute on all functions in schema shop to public;
         create trigger t after delete on shop.t for each row execute function shop.on_t();
         insert into shop.t values ('{}'), ('{}'); reset role; analyze shop.big",
        victim.id, other.id
    ));
    root.run(&format!("select auth.delete_user('{}')", victim.id));
    db.dba().run(&format!("select auth.delete_user('{}')", other.id));
    assert_eq!(db.dba().column::<String>("select found from shop.log"), ["nobody false 0", "nobody false 0"]);
}

#[test]
fn a_session_goes_on_deciding_after_a_trigger_reset_everything() {
    let (db, _, _) = arranged();
    let (low, own) = (db.user("Low"), db.user("Own"));
    db.dba().run(&format!(
        "create table shop.t (id uuid references auth.users on delete cascade);
         create function shop.on_t() returns trigger language plpgsql as $$ begin execute 'reset all'; return null; end $$;
         grant execute on all functions in schema shop to public;
         create trigger t after delete on shop.t for each row execute function shop.on_t();
         insert into shop.t values ('{}')",
        own.id
    ));
    let mut service = db.service();
    service.run(&format!(
        "select auth.use_session('{}', false); begin; select auth.use_session('{}', true); select auth.delete_user('{}'); commit",
        low.token, own.token, own.id
    ));
    assert_eq!(service.one::<Option<Uuid>>("select auth.uid()"), Some(low.id));
    assert!(!service.one::<bool>("select auth.has_permission('user:ban')"));
}

/// Code of the caller's own that was put off runs before anything is decided, and so decides with.
#[test]
fn what_was_put_off_cannot_come_between_a_check_and_the_deletion() {
    let (db, _, _) = arranged();
    let (mut first, second) = (db.admin("First"), db.admin("Second"));
    db.dba().run(&format!(
        "set role app;
         create table shop.t (id uuid references auth.users on delete cascade);
         create function shop.step_down() returns trigger language plpgsql as $$ begin perform auth.set_user_roles('{}', '{{user}}'); return null; end $$;
         create constraint trigger z after insert on shop.t deferrable initially deferred for each row execute function shop.step_down()",
        first.id
    ));
    first.run("begin; insert into shop.t values (null)");
    first.is_refused(&format!("select auth.delete_user('{}')", second.id), "42501", "PERMISSION_DENIED: user:delete");
    first.run("rollback");
    let left: i64 = db.dba().one("select count(*) from auth.user_roles where role = 'admin'");
    assert_eq!(left, 2);
}

#[test]
fn what_has_nothing_to_do_with_users_stays_put_off() {
    let (db, _, _) = arranged();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    db.dba().run(
        "create table public.parents (id int primary key); grant all on public.parents to app;
         create table public.children (id int references public.parents deferrable initially deferred); grant all on public.children to app",
    );
    root.run("begin; insert into public.children values (1)");
    assert!(root.one::<bool>(&format!("select auth.delete_user('{}')", ann.id)));
    root.run("insert into public.children values (2); insert into public.parents values (1), (2); commit");
}

#[test]
fn a_deferred_foreign_key_forbids_at_once() {
    let (db, _, _) = arranged();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    db.dba().run(&format!(
        "create table shop.orders (buyer uuid references auth.users deferrable initially deferred); insert into shop.orders values ('{}')",
        ann.id
    ));
    root.is_refused(&format!("select auth.delete_user('{}')", ann.id), "23503", "USER_IN_USE: shop.orders");
    assert!(root.is_signed_in(), "and we are somebody again");
}

/// Operators, functions, types and tables of the same names, where a careless search would find them.
#[test]
fn hostile_objects_are_not_found() {
    let (db, mut mallory, id) = arranged();
    db.dba().run("grant create on schema public to app; grant temporary on database postgres to app");
    mallory.run(
        "create table public.canary (who text);
         create function public.bark(text) returns boolean language plpgsql as $$ begin if current_user <> 'app' then insert into public.canary values (current_user); end if; return true; end $$;
         grant all on public.canary to public; grant execute on function public.bark(text) to public;
         create function public.eq(text, text) returns boolean language sql as 'select public.bark($1)';
         create function public.eq(uuid, uuid) returns boolean language sql as 'select public.bark($1::text)';
         create function public.eq(bytea, bytea) returns boolean language sql as 'select public.bark($1::text)';
         create operator public.= (leftarg = text, rightarg = text, function = public.eq);
         create operator public.= (leftarg = uuid, rightarg = uuid, function = public.eq);
         create operator public.= (leftarg = bytea, rightarg = bytea, function = public.eq);
         create function public.clock_timestamp() returns timestamptz language plpgsql as $$ begin perform public.bark('x'); return 'infinity'; end $$;
         create function public.lower(text) returns text language plpgsql as $$ begin perform public.bark('x'); return $1; end $$;
         create function public.host(inet) returns text language plpgsql as $$ begin perform public.bark('x'); return 'x'; end $$;
         create temp table users (id uuid, email text); create temp table pg_class (oid oid); create temp table pg_proc (oid oid);
         create temp table session_keys (token_hash bytea)",
    );
    for path in ["public, pg_catalog", "pg_temp, public, pg_catalog", "auth, auth_private, public, pg_catalog"] {
        mallory.run(&format!("set search_path = {path}"));
        for statement in [
            format!("select auth.sign_in('mallory@example.org', '{}')", pgrx_tests::PASSWORD),
            "select auth.sign_in('mallory@example.org', 'not the password')".to_owned(),
            "select auth.get_session()".to_owned(),
            "select * from auth.list_sessions()".to_owned(),
            format!("select auth.update_user('{id}', '{{\"name\": \"x\"}}')"),
            format!("select auth.update_user_attributes('{id}', '{{\"a\": 1}}')"),
            format!("select auth.verify_password('{}')", pgrx_tests::PASSWORD),
            "select auth.revoke_other_sessions()".to_owned(),
            "select * from auth.users".to_owned(),
        ] {
            mallory.run(&statement);
        }
        mallory.refused("select * from auth.list_users()");
        mallory.refused(&format!("select auth.ban_user('{id}')"));
    }
    let mut root = db.admin("Root");
    root.run("set search_path = public, pg_catalog");
    root.run(&format!(
        "select * from auth.list_users('m'); select auth.ban_user('{id}'); select auth.unban_user('{id}'); select auth.list_audit_log()"
    ));
    assert_eq!(db.dba().one::<i64>("select count(*) from public.canary"), 0);
}
