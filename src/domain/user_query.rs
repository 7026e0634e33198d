//! What list_users can be asked, as SQL. Every piece of the text stands here; what a client sends is only ever an argument.

pub use super::user_field::Argument;
use super::user_field::{Field, Kind, comparison, field, pattern, typed};
use crate::error::{Result, invalid};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use uuid::Uuid;

/// The arguments of list_users as they came, defaults filled in.
pub struct Request {
    pub search_value: Option<String>,
    pub search_field: String,
    pub search_operator: String,
    pub filter_field: Option<String>,
    pub filter_value: Option<String>,
    pub filter_operator: String,
    pub sort_by: String,
    pub sort_direction: String,
    pub page_size: i32,
    pub page_offset: i32,
    pub after_cursor: Option<String>,
}

/// A page, ready to be run.
#[derive(Debug)]
pub struct UserQuery {
    conditions: Vec<String>,
    arguments: Vec<Argument>,
    /// Arguments of the conditions, which stand before the cursor's.
    counted_arguments: usize,
    sort: &'static Field,
    descending: bool,
    page_size: i64,
    page_offset: i64,
    /// What the filter asks for, where that is kept in the directory, and whether it is the only condition.
    facet: Option<String>,
    cursor: Option<(String, String)>,
}

/// The facet of who is banned.
pub const BANNED: &str = "banned";

/// A statement and how to run it.
pub struct Statement {
    pub sql: String,
    pub arguments: Vec<Argument>,
    /// How many rows to read.
    pub most: i64,
    /// True when its plan is worth keeping.
    pub is_one_of_few: bool,
}

/// The most users on a page.
const MAX_PAGE_SIZE: i64 = 1000;

const COLUMNS: &str = "d.id, d.email, d.email_verified, d.name, d.image, d.roles, d.banned, d.ban_reason, d.ban_expires_at, \
                       d.attributes, d.created_at, d.updated_at, d.last_sign_in_at";

impl UserQuery {
    /// Composes the statement, or INVALID_ARGUMENT with the argument's name.
    pub fn build(request: Request) -> Result<Self> {
        let sort = field(&request.sort_by).ok_or_else(|| invalid("sort_by"))?;
        let descending = match request.sort_direction.as_str() {
            "asc" => false,
            "desc" => true,
            _ => return Err(invalid("sort_direction")),
        };
        if !(1..=MAX_PAGE_SIZE).contains(&request.page_size.into()) {
            return Err(invalid("page_size"));
        }
        if request.page_offset < 0 {
            return Err(invalid("page_offset"));
        }
        let mut query = UserQuery {
            conditions: Vec::new(),
            arguments: Vec::new(),
            counted_arguments: 0,
            sort,
            descending,
            page_size: request.page_size.into(),
            page_offset: request.page_offset.into(),
            facet: facet(&request),
            cursor: None,
        };
        query.search(&request)?;
        query.filter(&request)?;
        query.counted_arguments = query.arguments.len();
        if let Some(cursor) = &request.after_cursor {
            query.resume(cursor)?;
        }
        Ok(query)
    }

    fn bind(&mut self, argument: Argument) -> String {
        self.arguments.push(argument);
        format!("${}", self.arguments.len())
    }

    fn search(&mut self, request: &Request) -> Result<()> {
        let columns: &[&str] = match request.search_field.as_str() {
            "email" => &["d.email"],
            "name" => &["d.name"],
            "any" => &["d.email", "d.name"],
            _ => return Err(invalid("search_field")),
        };
        let text = request.search_value.as_deref().unwrap_or("");
        let pattern = pattern(&request.search_operator, text).ok_or_else(|| invalid("search_operator"))?;
        if text.is_empty() {
            return Ok(());
        }
        let argument = self.bind(Argument::Text(pattern));
        let matches: Vec<_> =
            columns.iter().map(|column| format!("{column} operator(pg_catalog.~~*) {argument}::pg_catalog.text")).collect();
        self.conditions.push(format!("({})", matches.join(" or ")));
        Ok(())
    }

    fn filter(&mut self, request: &Request) -> Result<()> {
        let (name, value) = match (&request.filter_field, &request.filter_value) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(invalid("filter_field")),
            (Some(_), None) => return Err(invalid("filter_value")),
            (Some(name), Some(value)) => (name.as_str(), value.as_str()),
        };
        let operator = request.filter_operator.as_str();
        let condition = if name == "role" {
            return self.filter_role(operator, value);
        } else if let Some(key) = name.strip_prefix("attributes.") {
            let key = self.bind(Argument::Text(key.to_owned()));
            self.compare(&format!("(d.attributes operator(pg_catalog.->>) {key}::pg_catalog.text)"), Kind::Text, operator, value)?
        } else {
            let field = field(name).ok_or_else(|| invalid("filter_field"))?;
            self.compare(field.column, field.kind, operator, value)?
        };
        self.conditions.push(condition);
        Ok(())
    }

    /// On roles, "eq" and "contains" mean has it, "ne" has it not.
    fn filter_role(&mut self, operator: &str, value: &str) -> Result<()> {
        let (negated, operator) = match operator {
            "ne" => (true, "eq"),
            "not_in" => (true, "in"),
            "contains" => (false, "eq"),
            other => (false, other),
        };
        let condition = self.compare("held.role", Kind::Text, operator, value)?;
        self.conditions.push(format!(
            "{}exists (select from auth.user_roles held where held.user_id operator(pg_catalog.=) d.id and {condition})",
            if negated { "not " } else { "" }
        ));
        Ok(())
    }

    fn compare(&mut self, column: &str, kind: Kind, operator: &str, value: &str) -> Result<String> {
        if let Some(pattern) = pattern(operator, value) {
            let argument = self.bind(Argument::Text(pattern));
            return Ok(format!("{column}::pg_catalog.text operator(pg_catalog.~~*) {argument}::pg_catalog.text"));
        }
        if let "in" | "not_in" = operator {
            let Ok(Value::Array(values)) = serde_json::from_str(value) else { return Err(invalid("filter_value")) };
            let values = values.iter().map(scalar).collect::<Option<Vec<_>>>().ok_or_else(|| invalid("filter_value"))?;
            let argument = self.bind(typed(kind, values, "filter_value")?);
            let list = format!("{argument}::{}[]", kind.cast());
            return Ok(match operator {
                "in" => format!("{column} operator(pg_catalog.=) any ({list})"),
                _ => format!("({column} is null or {column} operator(pg_catalog.<>) all ({list}))"),
            });
        }
        let argument = self.bind(typed(kind, vec![value.to_owned()], "filter_value")?);
        let value = format!("({argument}::{}[])[1]", kind.cast());
        if operator == "ne" {
            return Ok(format!("({column} is null or {column} operator(pg_catalog.<>) {value})"));
        }
        let comparison = comparison(operator).ok_or_else(|| invalid("filter_operator"))?;
        Ok(format!("{column} {comparison} {value}"))
    }

    fn resume(&mut self, cursor: &str) -> Result<()> {
        let wrong = || invalid("after_cursor");
        let text = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let (sort_by, descending, value, id): (String, bool, String, Uuid) = serde_json::from_slice(&text)
            .ok()
            .and_then(|(sort, descending, value, id): (String, bool, String, String)| {
                Some((sort, descending, value, Uuid::parse_str(&id).ok()?))
            })
            .ok_or_else(wrong)?;
        if sort_by != self.sort.name || descending != self.descending {
            return Err(wrong());
        }
        let value = self.bind(typed(self.sort.kind, vec![value], "after_cursor")?);
        let id = self.bind(Argument::Text(id.to_string()));
        self.cursor = Some((format!("({value}::{}[])[1]", self.sort.kind.cast()), format!("{id}::pg_catalog.uuid")));
        Ok(())
    }

    /// What of the directory the page is of, where it comes in the directory's order.
    pub fn facet(&self) -> Option<&str> {
        // Who has the role "user" is as soon found among all.
        self.facet.as_deref().filter(|facet| self.sort.name == "created_at" && *facet != "role:user")
    }

    /// What of the directory is to be counted, where that is all.
    pub fn counted_facet(&self) -> Option<&str> {
        match self.conditions.len() {
            0 => Some("users"),
            1 => self.facet.as_deref(),
            _ => None,
        }
    }

    /// The statement of the page: one row more than asked for tells whether there is a next one, and the last column is what its cursor is
    /// made of. `in_order` where the facet may be relied on.
    pub fn page(&self, in_order: bool) -> Statement {
        let (direction, behind) = if self.descending { (">", "<") } else { ("<", ">") };
        let mut arguments = self.arguments.clone();
        let facet = self.facet().filter(|_| in_order);
        let (from, order, id, mut conditions) = if let Some(facet) = facet {
            arguments.push(Argument::Text(facet.to_owned()));
            // "limit 1" keeps the planner from joining all of them before it puts them in order: it takes the conditions for independent.
            let mut of_user = vec!["d.id operator(pg_catalog.=) f.user_id".to_owned()];
            of_user.extend_from_slice(&self.conditions);
            let from = format!(
                "auth_private.directory_facets f cross join lateral (select d.* from auth_private.user_directory d{} limit 1) d",
                condition(&of_user)
            );
            let is_in_facet = format!("f.facet operator(pg_catalog.=) ${}::pg_catalog.text", arguments.len());
            (from, "f.created_at", "f.user_id", vec![is_in_facet])
        } else {
            ("auth_private.user_directory d".to_owned(), self.sort.order, "d.id", self.conditions.clone())
        };
        if let Some((value, user)) = &self.cursor {
            conditions.push(format!("({order}, {id}) operator(pg_catalog.{behind}) ({value}, {user})"));
        }
        let key = match self.sort.kind {
            Kind::Timestamp => format!("pg_catalog.to_json({order}) operator(pg_catalog.#>>) '{{}}'::pg_catalog.text[]"),
            _ => format!("{order}::pg_catalog.text"),
        };
        // Of such there are only so many, and all are read in the order of an index: as long as the planner knows that it is about few rows.
        let is_one_of_few = self.page_offset == 0 && self.conditions.len() == usize::from(facet.is_some());
        let limit = if is_one_of_few {
            (MAX_PAGE_SIZE + 1).to_string()
        } else {
            arguments.extend([Argument::Integer(self.page_size + 1), Argument::Integer(self.page_offset)]);
            format!("${} offset ${}", arguments.len() - 1, arguments.len())
        };
        let sql = format!(
            "select {COLUMNS}, {key} from {from}{} order by {order} using operator(pg_catalog.{direction}), {id} using operator(pg_catalog.{direction}) limit {limit}",
            condition(&conditions),
        );
        Statement { sql, arguments, most: self.page_size + 1, is_one_of_few }
    }

    /// The statement of the total.
    pub fn total(&self) -> (String, Vec<Argument>) {
        let sql = format!("select pg_catalog.count(*) from auth_private.user_directory d{}", condition(&self.conditions));
        (sql, self.arguments[..self.counted_arguments].to_vec())
    }

    /// True when nobody comes before this page.
    pub fn is_first_page(&self) -> bool {
        self.page_offset == 0 && self.cursor.is_none()
    }

    /// True when the total is that of the whole table.
    pub fn is_of_everybody(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The page's size and offset.
    pub fn bounds(&self) -> (i64, i64) {
        (self.page_size, self.page_offset)
    }

    /// The cursor behind a row.
    pub fn cursor(&self, key: &str, id: &str) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::json!([self.sort.name, self.descending, key, id]).to_string())
    }
}

/// What a filter asks for, where that is kept in the directory.
fn facet(request: &Request) -> Option<String> {
    match (request.filter_field.as_deref()?, request.filter_operator.as_str(), request.filter_value.as_deref()?) {
        ("role", "eq" | "contains", role) => Some(format!("role:{role}")),
        ("banned", "eq", "true" | "t") => Some(BANNED.to_owned()),
        _ => None,
    }
}

fn condition(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            search_value: None,
            search_field: "email".into(),
            search_operator: "contains".into(),
            filter_field: None,
            filter_value: None,
            filter_operator: "eq".into(),
            sort_by: "created_at".into(),
            sort_direction: "desc".into(),
            page_size: 100,
            page_offset: 0,
            after_cursor: None,
        }
    }

    fn refusal(request: Request) -> Option<String> {
        UserQuery::build(request).err().and_then(|error| error.data)
    }

    #[test]
    fn client_text_is_never_in_the_statement() {
        let hostile = "x'); drop table auth.users; --";
        let query = UserQuery::build(Request {
            search_value: Some(hostile.into()),
            filter_field: Some(format!("attributes.{hostile}")),
            filter_value: Some(hostile.into()),
            ..request()
        })
        .unwrap();
        assert!(!query.page(true).sql.contains("drop") && !query.total().0.contains("drop"));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        assert_eq!(refusal(Request { sort_by: "password".into(), ..request() }).unwrap(), "sort_by");
        assert_eq!(refusal(Request { sort_direction: "up".into(), ..request() }).unwrap(), "sort_direction");
        assert_eq!(refusal(Request { search_field: "id".into(), ..request() }).unwrap(), "search_field");
        assert_eq!(refusal(Request { search_operator: "like".into(), ..request() }).unwrap(), "search_operator");
        for page_size in [0, -1, 1001] {
            assert_eq!(refusal(Request { page_size, ..request() }).unwrap(), "page_size");
        }
        assert_eq!(refusal(Request { page_offset: -1, ..request() }).unwrap(), "page_offset");
        let filter = |field: &str, value: &str, operator: &str| {
            refusal(Request {
                filter_field: Some(field.into()),
                filter_value: Some(value.into()),
                filter_operator: operator.into(),
                ..request()
            })
        };
        assert_eq!(filter("hash", "x", "eq").unwrap(), "filter_field");
        assert_eq!(filter("name", "x", "like").unwrap(), "filter_operator");
        for (field, value, operator) in
            [("id", "x", "eq"), ("banned", "maybe", "eq"), ("name", "x", "in"), ("name", "[null]", "in"), ("id", "[\"x\"]", "not_in")]
        {
            assert_eq!(filter(field, value, operator).unwrap(), "filter_value", "{field}");
        }
        assert_eq!(refusal(Request { filter_field: Some("name".into()), ..request() }).unwrap(), "filter_value");
        assert_eq!(refusal(Request { filter_value: Some("x".into()), ..request() }).unwrap(), "filter_field");
    }

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let id = "00000000-0000-0000-0000-000000000001";
        let cursor = UserQuery::build(request()).unwrap().cursor("2026-01-01T00:00:00Z", id);
        assert_eq!(refusal(Request { after_cursor: Some(cursor.clone()), ..request() }), None);
        assert_eq!(
            refusal(Request { after_cursor: Some(cursor.clone()), sort_direction: "asc".into(), ..request() }).unwrap(),
            "after_cursor"
        );
        for cursor in ["", "x", &URL_SAFE_NO_PAD.encode("[1]"), &cursor[1..]] {
            assert_eq!(refusal(Request { after_cursor: Some(cursor.into()), ..request() }).unwrap(), "after_cursor");
        }
    }
}
