//! The installation as the catalogue has it.

use super::Mode;
use crate::backend::spi;

/// Everything of ours that decides who may do what: for each object a name, and what it must be. What PostgreSQL itself gives an owner is
/// left out, since versions differ in it, and so is what a gateway needs.
pub fn read(gateways: Vec<String>) -> Vec<(String, String)> {
    spi::query(
        Mode::Read,
        "with ours as (
             select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
              where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}')),
         grants (acl, owner, is_of_gateway, text) as (
             select a.acl, a.owner, a.is_of_gateway,
                    (select coalesce(pg_catalog.string_agg(g.line, ' ' order by g.line using operator(pg_catalog.<)), 'nobody')
                       from (select pg_catalog.format('%s:%s', case when x.grantee operator(pg_catalog.=) 0 then 'public' else x.grantee::pg_catalog.regrole::pg_catalog.text end, x.privilege_type) as line
                               from pg_catalog.aclexplode(a.acl) x
                              where x.grantee operator(pg_catalog.<>) a.owner
                                and not (a.is_of_gateway and x.privilege_type operator(pg_catalog.=) any ('{USAGE,EXECUTE}') and not x.is_grantable
                                         and exists (select from pg_catalog.pg_roles r where r.oid operator(pg_catalog.=) x.grantee
                                                        and r.rolname::pg_catalog.text operator(pg_catalog.=) any ($1::pg_catalog.text[])))) g)
               from (select o.nspacl, o.nspowner, o.nspname operator(pg_catalog.=) 'auth' from ours o
                     union select c.relacl, c.relowner, false from pg_catalog.pg_class c join ours o on o.oid operator(pg_catalog.=) c.relnamespace
                     union select p.proacl, p.proowner, p.oid::pg_catalog.regprocedure::pg_catalog.text operator(pg_catalog.=) 'auth.postgrest_config()' from pg_catalog.pg_proc p join ours o on o.oid operator(pg_catalog.=) p.pronamespace
                     union select t.attacl, c.relowner, false from pg_catalog.pg_attribute t join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) t.attrelid
                                                        join ours o on o.oid operator(pg_catalog.=) c.relnamespace) a (acl, owner, is_of_gateway)
              where a.acl is not null)
         select pg_catalog.format('schema %s', o.nspname), coalesce(g.text, 'default')
           from ours o left join grants g on g.acl operator(pg_catalog.=) o.nspacl and g.owner operator(pg_catalog.=) o.nspowner
                          and g.is_of_gateway operator(pg_catalog.=) (o.nspname operator(pg_catalog.=) 'auth')
         union all
         select pg_catalog.format('relation %s', c.oid::pg_catalog.regclass),
                pg_catalog.format('%s, owner %s, row security %s %s, granted to %s', c.relkind, c.relowner::pg_catalog.regrole, c.relrowsecurity, c.relforcerowsecurity, coalesce(g.text, 'nobody'))
           from pg_catalog.pg_class c join ours o on o.oid operator(pg_catalog.=) c.relnamespace
           left join grants g on not g.is_of_gateway and g.acl operator(pg_catalog.=) c.relacl and g.owner operator(pg_catalog.=) c.relowner
          where c.relkind operator(pg_catalog.=) any ('{r,v,S,m,f,p}')
         union all
         select pg_catalog.format('column %s.%s', c.oid::pg_catalog.regclass, t.attname),
                pg_catalog.format('%s%s, default %s, granted to %s', pg_catalog.format_type(t.atttypid, t.atttypmod), case when t.attnotnull then ' not null' else '' end,
                                  (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid operator(pg_catalog.=) c.oid and d.adnum operator(pg_catalog.=) t.attnum),
                                  coalesce(g.text, 'nobody'))
           from pg_catalog.pg_attribute t join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) t.attrelid
           join ours o on o.oid operator(pg_catalog.=) c.relnamespace
           left join grants g on not g.is_of_gateway and g.acl operator(pg_catalog.=) t.attacl and g.owner operator(pg_catalog.=) c.relowner
          where c.relkind operator(pg_catalog.=) any ('{r,v}') and t.attnum operator(pg_catalog.>) 0 and not t.attisdropped
         union all
         -- PostgreSQL 16 and later leave the alias out where there is but one.
         select pg_catalog.format('view %s', c.oid::pg_catalog.regclass), pg_catalog.md5(pg_catalog.replace(pg_catalog.pg_get_viewdef(c.oid), ' u.', ' '))
           from pg_catalog.pg_class c join ours o on o.oid operator(pg_catalog.=) c.relnamespace where c.relkind operator(pg_catalog.=) 'v'
         union all
         select pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure),
                pg_catalog.format('%s, (%s) returns %s, parallel %s, owner %s, definer %s, volatile %s, strict %s, leakproof %s, %s, body %s, granted to %s', l.lanname, pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid), p.proparallel,
                                  p.proowner::pg_catalog.regrole, p.prosecdef, p.provolatile, p.proisstrict, p.proleakproof, p.proconfig,
                                  case when l.lanname operator(pg_catalog.=) 'c' then pg_catalog.concat(p.prosrc, ' of ', p.probin) else pg_catalog.md5(p.prosrc) end, coalesce(g.text, 'public'))
           from pg_catalog.pg_proc p join ours o on o.oid operator(pg_catalog.=) p.pronamespace
           join pg_catalog.pg_language l on l.oid operator(pg_catalog.=) p.prolang
           left join grants g on g.acl operator(pg_catalog.=) p.proacl and g.owner operator(pg_catalog.=) p.proowner
                          and g.is_of_gateway operator(pg_catalog.=) (p.oid::pg_catalog.regprocedure::pg_catalog.text operator(pg_catalog.=) 'auth.postgrest_config()')
         union all
         select pg_catalog.format('policy %s of %s', y.polname, y.polrelid::pg_catalog.regclass),
                pg_catalog.format('%s to %s, permissive %s, using %s, check %s', y.polcmd,
                                  (select pg_catalog.string_agg(r::pg_catalog.regrole::pg_catalog.text, ' ') from pg_catalog.unnest(y.polroles) as r), y.polpermissive,
                                  pg_catalog.pg_get_expr(y.polqual, y.polrelid), pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid))
           from pg_catalog.pg_policy y join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) y.polrelid join ours o on o.oid operator(pg_catalog.=) c.relnamespace
         union all
         select pg_catalog.format('trigger %s of %s', t.tgname, t.tgrelid::pg_catalog.regclass), pg_catalog.format('%s %s', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
           from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) t.tgrelid join ours o on o.oid operator(pg_catalog.=) c.relnamespace
          where not t.tgisinternal
         union all
         select pg_catalog.format('rule %s of %s', w.rulename, w.ev_class::pg_catalog.regclass), w.ev_enabled::pg_catalog.text
           from pg_catalog.pg_rewrite w join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) w.ev_class join ours o on o.oid operator(pg_catalog.=) c.relnamespace
         union all
         -- Constraints that applications have made refer to our tables from theirs: these are of ours.
         select pg_catalog.format('constraint %s of %s', k.conname, k.conrelid::pg_catalog.regclass), pg_catalog.format('%s %s', k.convalidated, pg_catalog.md5(pg_catalog.pg_get_constraintdef(k.oid)))
           from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) k.conrelid join ours o on o.oid operator(pg_catalog.=) c.relnamespace
          where k.contype operator(pg_catalog.=) any ('{c,f,u,p}')
         union all
         -- A query on the parent reads the child too.
         select pg_catalog.format('child %s of %s', h.inhrelid::pg_catalog.regclass, h.inhparent::pg_catalog.regclass), 'inherits'
           from pg_catalog.pg_inherits h join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) h.inhparent join ours o on o.oid operator(pg_catalog.=) c.relnamespace
          where c.relkind operator(pg_catalog.=) 'r'
         union all
         select pg_catalog.format('operator %s', p.oid::pg_catalog.regoperator), 'exists'
           from pg_catalog.pg_operator p join ours o on o.oid operator(pg_catalog.=) p.oprnamespace
         union all
         select pg_catalog.format('type %s', t.oid::pg_catalog.regtype), 'exists'
           from pg_catalog.pg_type t join ours o on o.oid operator(pg_catalog.=) t.typnamespace
          where t.typtype operator(pg_catalog.<>) 'c' and t.typcategory operator(pg_catalog.<>) 'A'
         union all
         select pg_catalog.format('internal trigger of %s', c.oid::pg_catalog.regclass), 'enabled'
           from pg_catalog.pg_class c join ours o on o.oid operator(pg_catalog.=) c.relnamespace
          where c.relkind operator(pg_catalog.=) 'r'
            and not exists (select from pg_catalog.pg_trigger t where t.tgrelid operator(pg_catalog.=) c.oid and t.tgisinternal and t.tgenabled operator(pg_catalog.<>) 'O')
         union all
         -- And the one that tokens are found by.
         select pg_catalog.format('%sindex %s', case when i.indisunique then 'unique ' end, i.indexrelid::pg_catalog.regclass), pg_catalog.format('valid %s, %s', i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid))
           from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) i.indrelid join ours o on o.oid operator(pg_catalog.=) c.relnamespace
          where i.indisunique or i.indexrelid operator(pg_catalog.=) pg_catalog.to_regclass('auth_private.session_keys_token_hash_idx')
         union all
         select pg_catalog.format('role %s', r.rolname),
                pg_catalog.format('login %s, superuser %s, bypass %s, createrole %s, replication %s, settings %s, member of %s, members %s', r.rolcanlogin, r.rolsuper, r.rolbypassrls, r.rolcreaterole,
                                  r.rolreplication, r.rolconfig,
                                  (select pg_catalog.string_agg(m.roleid::pg_catalog.regrole::pg_catalog.text, ' ') from pg_catalog.pg_auth_members m
                                    where m.member operator(pg_catalog.=) r.oid
                                      -- From PostgreSQL 16 on it is a member of the roles that it has made.
                                      and (r.rolname operator(pg_catalog.<>) 'auth_role_manager' or pg_catalog.starts_with(m.roleid::pg_catalog.regrole::pg_catalog.text, 'pg_'))),
                                  exists (select from pg_catalog.pg_auth_members m where m.roleid operator(pg_catalog.=) r.oid and m.member operator(pg_catalog.<>) 10))
           from pg_catalog.pg_roles r where r.rolname::pg_catalog.text operator(pg_catalog.=) any ('{auth_owner,auth_door,auth_eraser,auth_role_manager}')
         union all
         select pg_catalog.format('role %s', r.rolname), pg_catalog.format('superuser %s, bypass %s', r.rolsuper, r.rolbypassrls)
           from pg_catalog.pg_roles r where r.rolname::pg_catalog.text operator(pg_catalog.=) any ('{anon,authenticated,auth_admin,auth_mailer}')",
        &[gateways.into()],
        // PostgreSQL breaks lines in expressions.
        |row| (row.value(1), row.value::<String>(2).split_whitespace().collect::<Vec<_>>().join(" ")),
    )
}
