//! Pages of users. The statements are composed in `domain::user_query`, of constant pieces only.

use super::first;
use crate::backend::index;
use crate::backend::json::WholeJson;
use crate::backend::spi::{self, Mode, Row};
use crate::backend::state;
use crate::domain::user_query::{Argument, BANNED, UserQuery};
use crate::error::{Result, invalid};
use pgrx::Uuid;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};

/// A user as a row of list_users.
pub struct ListedUser {
    pub id: Uuid,
    pub email: Option<String>,
    pub email_verified: bool,
    pub name: String,
    pub image: Option<String>,
    pub roles: Vec<String>,
    pub banned: bool,
    pub ban_reason: Option<String>,
    pub ban_expires_at: Option<TimestampWithTimeZone>,
    pub attributes: WholeJson,
    pub created_at: TimestampWithTimeZone,
    pub updated_at: TimestampWithTimeZone,
    pub last_sign_in_at: Option<TimestampWithTimeZone>,
    /// What a cursor behind this row is made of.
    pub key: String,
}

fn listed(row: &Row) -> ListedUser {
    ListedUser {
        id: row.value(1),
        email: row.get(2),
        email_verified: row.value(3),
        name: row.value(4),
        image: row.get(5),
        roles: row.value(6),
        banned: row.value(7),
        ban_reason: row.get(8),
        ban_expires_at: row.get(9),
        attributes: row.whole_json(10).expect("a column that is never null"),
        created_at: row.value(11),
        updated_at: row.value(12),
        last_sign_in_at: row.get(13),
        key: row.value(14),
    }
}

/// A page, and the cursor behind it when there is more.
pub fn page(query: &UserQuery) -> Result<(Vec<ListedUser>, Option<String>)> {
    let in_order = query.facet().is_some_and(|facet| kept(facet).is_some());
    let statement = query.page(in_order);
    let arguments = bound(statement.arguments)?;
    let mut users = if statement.is_one_of_few {
        spi::query_at_most(statement.most, Mode::Read, &statement.sql, &arguments, listed)
    } else {
        spi::query_once(&statement.sql, &arguments, listed)
    };
    let (page_size, _) = query.bounds();
    let more = users.len() as i64 > page_size;
    users.truncate(page_size as usize);
    let cursor = users.last().filter(|_| more).map(|last| query.cursor(&last.key, &last.id.to_string()));
    Ok((users, cursor))
}

/// How many users there are in all pages, of which this is one.
pub fn total(query: &UserQuery, page: &[ListedUser], has_next: bool) -> Result<i64> {
    if query.is_first_page() && !has_next {
        return Ok(page.len() as i64);
    }
    if let Some(count) = query.counted_facet().and_then(kept) {
        return Ok(count);
    }
    let (sql, arguments) = query.total();
    Ok(spi::query_once(&sql, &bound(arguments)?, |row| row.value(1)).pop().unwrap_or(0))
}

/// How many users have something, where that is kept; it is not after a crash, or on a standby.
fn kept(facet: &str) -> Option<i64> {
    // In a database whose extension has not been updated to 0.2.0 yet there is no such table.
    if state::is_recovering() || !index::exists(c"auth_private", c"directory_counts") {
        return None;
    }
    let count: Option<i64> = first(
        Mode::Read,
        "select case when pg_catalog.bool_or(c.counted_at is not null) and not pg_catalog.bool_or(c.facet is null)
                     then coalesce(pg_catalog.sum(c.change) filter (where c.facet operator(pg_catalog.=) $1), 0)::pg_catalog.int8 end
           from auth_private.directory_counts c",
        &[facet.into()],
        |row| row.get(1),
    )
    .flatten();
    // A ban that is over stays in the table.
    let over = || {
        first(
            Mode::Read,
            "select pg_catalog.count(*) from auth.bans b where b.expires_at operator(pg_catalog.<=) (select pg_catalog.clock_timestamp())",
            &[],
            |row| row.value(1),
        )
    };
    if facet == BANNED { count.map(|count| count - over().unwrap_or(0_i64)) } else { count }
}

/// How many users the planner believes there are; none before the first ANALYZE.
pub fn estimate() -> Option<i64> {
    spi::query_once(
        "select c.reltuples::pg_catalog.int8 from pg_catalog.pg_class c
          where c.oid operator(pg_catalog.=) 'auth.users'::pg_catalog.regclass and c.reltuples operator(pg_catalog.>=) 0::pg_catalog.float4",
        &[],
        |row| row.value(1),
    )
    .pop()
}

fn bound(arguments: Vec<Argument>) -> Result<Vec<DatumWithOid<'static>>> {
    arguments
        .into_iter()
        .map(|argument| {
            Ok(match argument {
                Argument::Text(text) => text.into(),
                Argument::Texts(texts) => texts.into(),
                Argument::Integer(number) => number.into(),
                Argument::Timestamps(texts, argument) => {
                    let moments = texts.iter().map(|text| text.parse::<TimestampWithTimeZone>()).collect::<Result<Vec<_>, _>>();
                    moments.map_err(|_| invalid(argument))?.into()
                }
            })
        })
        .collect()
}
