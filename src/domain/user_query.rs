//! What list_users can be asked, as SQL. Every piece of the text stands here; what a client sends is only ever an argument.

pub use super::user_field::Argument;
use super::user_field::{Field, Kind, field, typed};
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
    /// Conditions before the cursor's: the total does not shrink from page to page.
    counted: usize,
    arguments: Vec<Argument>,
    counted_arguments: usize,
    sort: &'static Field,
    descending: bool,
    page_size: i64,
    page_offset: i64,
}

const COLUMNS: &str = "d.id, d.email, d.email_verified, d.name, d.image, d.roles, d.banned, d.ban_reason, d.ban_expires_at, \
                       d.attributes, d.created_at, d.updated_at, d.last_sign_in_at";

/// `%`, `_` and `\` mean themselves.
fn literal_pattern(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, c| {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

fn pattern(operator: &str, text: &str) -> Option<String> {
    let text = literal_pattern(text);
    match operator {
        "contains" => Some(format!("%{text}%")),
        "starts_with" => Some(format!("{text}%")),
        "ends_with" => Some(format!("%{text}")),
        _ => None,
    }
}

fn comparison(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "eq" => "operator(pg_catalog.=)",
        "lt" => "operator(pg_catalog.<)",
        "lte" => "operator(pg_catalog.<=)",
        "gt" => "operator(pg_catalog.>)",
        "gte" => "operator(pg_catalog.>=)",
        _ => return None,
    })
}

impl UserQuery {
    /// Composes the statement, or INVALID_ARGUMENT with the argument's name.
    pub fn build(request: Request) -> Result<Self> {
        let sort = field(&request.sort_by).ok_or_else(|| invalid("sort_by"))?;
        let descending = match request.sort_direction.as_str() {
            "asc" => false,
            "desc" => true,
            _ => return Err(invalid("sort_direction")),
        };
        if !(1..=1000).contains(&request.page_size) {
            return Err(invalid("page_size"));
        }
        if request.page_offset < 0 {
            return Err(invalid("page_offset"));
        }
        let mut query = UserQuery {
            conditions: Vec::new(),
            counted: 0,
            arguments: Vec::new(),
            counted_arguments: 0,
            sort,
            descending,
            page_size: request.page_size.into(),
            page_offset: request.page_offset.into(),
        };
        query.search(&request)?;
        query.filter(&request)?;
        (query.counted, query.counted_arguments) = (query.conditions.len(), query.arguments.len());
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
        self.conditions.push(format!(
            "({}, d.id) operator(pg_catalog.{}) (({value}::{}[])[1], {id}::pg_catalog.uuid)",
            self.sort.order,
            if self.descending { "<" } else { ">" },
            self.sort.kind.cast()
        ));
        Ok(())
    }

    /// The statement of the page: one row more than asked for tells whether there is a next one, and the last column is what its cursor is made of.
    pub fn page(&self) -> (String, Vec<Argument>) {
        let direction = if self.descending { "operator(pg_catalog.>)" } else { "operator(pg_catalog.<)" };
        let mut arguments = self.arguments.clone();
        arguments.extend([Argument::Integer(self.page_size + 1), Argument::Integer(self.page_offset)]);
        let order = self.sort.order;
        let key = match self.sort.kind {
            Kind::Timestamp => format!("pg_catalog.to_json({order}) operator(pg_catalog.#>>) '{{}}'::pg_catalog.text[]"),
            _ => format!("{order}::pg_catalog.text"),
        };
        let sql = format!(
            "select {COLUMNS}, {key} from auth_private.user_directory d{} order by {order} using {direction}, d.id using {direction} limit ${} offset ${}",
            condition(&self.conditions),
            arguments.len() - 1,
            arguments.len()
        );
        (sql, arguments)
    }

    /// The statement of the total.
    pub fn total(&self) -> (String, Vec<Argument>) {
        let sql = format!("select pg_catalog.count(*) from auth_private.user_directory d{}", condition(&self.conditions[..self.counted]));
        (sql, self.arguments[..self.counted_arguments].to_vec())
    }

    /// True when the total is that of the whole table.
    pub fn counts_everybody(&self) -> bool {
        self.counted == 0
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
        assert!(!query.page().0.contains("drop") && !query.total().0.contains("drop"));
    }

    #[test]
    fn wildcards_are_literal() {
        assert_eq!(pattern("contains", r"50%_\").unwrap(), r"%50\%\_\\%");
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
