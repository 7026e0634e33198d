//! Pages of users.

use crate::backend::json::WholeJson;
use crate::backend::jsonb::object_of;
use crate::backend::raise::run;
use crate::caller;
use crate::domain::user_query::{Request, UserQuery};
use crate::error::invalid;
use crate::store::user_list;
use crate::store::users::RenderedUser;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};

/// `auth.list_users()`
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn list_users(
    search_value: Option<String>,
    search_field: Option<String>,
    search_operator: Option<String>,
    filter_field: Option<String>,
    filter_value: Option<String>,
    filter_operator: Option<String>,
    sort_by: Option<String>,
    sort_direction: Option<String>,
    page_size: Option<i32>,
    page_offset: Option<i32>,
    after_cursor: Option<String>,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(email, Option<String>),
        name!(email_verified, bool),
        name!(name, String),
        name!(image, Option<String>),
        name!(roles, Vec<String>),
        name!(banned, bool),
        name!(ban_reason, Option<String>),
        name!(ban_expires_at, Option<TimestampWithTimeZone>),
        name!(attributes, WholeJson),
        name!(created_at, TimestampWithTimeZone),
        name!(updated_at, TimestampWithTimeZone),
        name!(last_sign_in_at, Option<TimestampWithTimeZone>),
    ),
> {
    run(move || {
        caller::with_permission("user:list")?;
        let filters = [
            search_value,
            search_field,
            search_operator,
            filter_field,
            filter_value,
            filter_operator,
            sort_by,
            sort_direction,
            after_cursor,
        ];
        let (users, _) = user_list::page(&UserQuery::build(request(filters, page_size, page_offset))?)?;
        let rows = users.into_iter().map(|u| {
            (
                u.id,
                u.email,
                u.email_verified,
                u.name,
                u.image,
                u.roles,
                u.banned,
                u.ban_reason,
                u.ban_expires_at,
                u.attributes,
                u.created_at,
                u.updated_at,
                u.last_sign_in_at,
            )
        });
        Ok(TableIterator::new(rows))
    })
}

/// `auth.list_users_page()`
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn list_users_page(
    search_value: Option<String>,
    search_field: Option<String>,
    search_operator: Option<String>,
    filter_field: Option<String>,
    filter_value: Option<String>,
    filter_operator: Option<String>,
    sort_by: Option<String>,
    sort_direction: Option<String>,
    page_size: Option<i32>,
    page_offset: Option<i32>,
    after_cursor: Option<String>,
    count: Option<String>,
) -> WholeJson {
    run(move || {
        caller::with_permission("user:list")?;
        let filters = [
            search_value,
            search_field,
            search_operator,
            filter_field,
            filter_value,
            filter_operator,
            sort_by,
            sort_direction,
            after_cursor,
        ];
        let query = UserQuery::build(request(filters, page_size, page_offset))?;
        let count = count.as_deref().unwrap_or("exact");
        if !matches!(count, "exact" | "estimated" | "none") {
            return Err(invalid("count"));
        }
        let (users, next_cursor) = user_list::page(&query)?;
        let counted = || user_list::total(&query, &users, next_cursor.is_some());
        let total = match count {
            "none" => None,
            "estimated" if query.is_of_everybody() => Some(user_list::estimate().map_or_else(counted, Ok)?),
            _ => Some(counted()?),
        };
        let (limit, offset) = query.bounds();
        let users: Vec<RenderedUser> = users.into_iter().map(RenderedUser::from).collect();
        let page = Page { users, total, limit, offset, next_cursor };
        Ok(WholeJson::of(&page))
    })
}

fn request(arguments: [Option<String>; 9], page_size: Option<i32>, page_offset: Option<i32>) -> Request {
    let [search_value, search_field, search_operator, filter_field, filter_value, filter_operator, sort_by, sort_direction, after_cursor] =
        arguments;
    let or = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
    Request {
        search_value,
        search_field: or(search_field, "email"),
        search_operator: or(search_operator, "contains"),
        filter_field,
        filter_value,
        filter_operator: or(filter_operator, "eq"),
        sort_by: or(sort_by, "created_at"),
        sort_direction: or(sort_direction, "desc"),
        page_size: page_size.unwrap_or(100),
        page_offset: page_offset.unwrap_or(0),
        after_cursor,
    }
}

struct Page {
    users: Vec<RenderedUser>,
    total: Option<i64>,
    limit: i64,
    offset: i64,
    next_cursor: Option<String>,
}

object_of!(Page: limit, total, users, offset, next_cursor);
