//! Pages of users. The statements are composed in `domain::user_query`, of constant pieces only.

use crate::backend::json::Json;
use crate::backend::spi::{self, Row};
use crate::domain::user_query::{Argument, UserQuery};
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
    pub attributes: Json,
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
        attributes: row.value(10),
        created_at: row.value(11),
        updated_at: row.value(12),
        last_sign_in_at: row.get(13),
        key: row.value(14),
    }
}

/// A page, and the cursor behind it when there is more.
pub fn page(query: &UserQuery) -> Result<(Vec<ListedUser>, Option<String>)> {
    let (sql, arguments) = query.page();
    let mut users = spi::query_once(&sql, &bound(arguments)?, listed);
    let (page_size, _) = query.bounds();
    let more = users.len() as i64 > page_size;
    users.truncate(page_size as usize);
    let cursor = users.last().filter(|_| more).map(|last| query.cursor(&last.key, &last.id.to_string()));
    Ok((users, cursor))
}

/// How many users there are in all pages.
pub fn total(query: &UserQuery) -> Result<i64> {
    let (sql, arguments) = query.total();
    Ok(spi::query_once(&sql, &bound(arguments)?, |row| row.value(1)).pop().unwrap_or(0))
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
