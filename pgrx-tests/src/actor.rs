//! Somebody on a connection of their own.

use crate::cluster::Cluster;
use postgres::types::FromSql;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use serde_json::Value;
use std::path::Path;
use uuid::Uuid;

/// Somebody on a connection of their own.
pub struct Actor {
    /// The connection.
    pub client: Client,
    /// The user's id; nil for whoever is no user.
    pub id: Uuid,
    /// The session's id, likewise.
    pub session: Uuid,
    /// The session's token.
    pub token: String,
    /// The user's address.
    pub email: String,
}

/// A refusal as the client sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// DETAIL, which begins with the machine code; MESSAGE where there is none.
    pub detail: String,
}

impl Refusal {
    /// The machine code.
    pub fn code(&self) -> &str {
        self.detail.split(':').next().unwrap_or_default()
    }
}

pub(crate) fn try_connect(cluster: &Cluster, role: &str, database: &str) -> Result<Client, postgres::Error> {
    connect_to(cluster.socket(), cluster.port, role, database)
}

pub(crate) fn connect_to(socket: &Path, port: u16, role: &str, database: &str) -> Result<Client, postgres::Error> {
    Config::new().host_path(socket).port(port).user(role).dbname(database).connect(NoTls)
}

pub(crate) fn connect(cluster: &Cluster, role: &str, database: &str) -> Client {
    try_connect(cluster, role, database).unwrap_or_else(|error| panic!("{role} cannot connect to {database}: {error:?}"))
}

impl Actor {
    /// Somebody with no identity yet.
    pub fn anonymous(client: Client) -> Self {
        Actor { client, id: Uuid::nil(), session: Uuid::nil(), token: String::new(), email: String::new() }
    }

    /// Becomes who the result of a sign-in says, for the connection.
    pub fn adopt(mut self, email: &str, result: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no sign-in: {result}")).to_owned();
        self.token = text(&result["token"]);
        self.id = text(&result["user"]["id"]).parse().expect("a user's id");
        self.session = text(&result["session"]["id"]).parse().expect("a session's id");
        self.email = email.to_owned();
        let token = self.token.clone();
        self.run(&format!("select auth.use_session('{token}', false)"));
        self
    }

    /// Runs statements that must succeed.
    pub fn run(&mut self, sql: &str) {
        self.client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The one value of a statement.
    pub fn one<T: for<'a> FromSql<'a>>(&mut self, sql: &str) -> T {
        self.client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The first column of a statement.
    pub fn column<T: for<'a> FromSql<'a>>(&mut self, sql: &str) -> Vec<T> {
        self.client.query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).iter().map(|row| row.get(0)).collect()
    }

    /// The one value of a statement, which is jsonb.
    pub fn json(&mut self, sql: &str) -> Value {
        self.one(sql)
    }

    /// A statement's rows as lines of text, or its refusal; and whether it was refused.
    pub fn print(&mut self, sql: &str) -> (Vec<String>, bool) {
        match self.client.simple_query(sql) {
            Ok(messages) => {
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => {
                        Some((0..row.len()).map(|n| row.get(n).unwrap_or("null")).collect::<Vec<_>>().join(" | "))
                    }
                    _ => None,
                });
                let mut rows: Vec<String> = rows.collect();
                if rows.is_empty() && messages.iter().any(|message| matches!(message, SimpleQueryMessage::RowDescription(_))) {
                    rows.push("(no rows)".to_owned());
                }
                (rows, false)
            }
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
                let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
                (vec![format!("ERROR {}: {}{detail}", error.code().code(), error.message())], true)
            }
        }
    }

    /// The refusal of a statement that must be refused.
    pub fn refused(&mut self, sql: &str) -> Refusal {
        match self.client.batch_execute(sql) {
            Ok(()) => panic!("was not refused: {sql}"),
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
                Refusal { sqlstate: error.code().code().to_owned(), detail: error.detail().unwrap_or_else(|| error.message()).to_owned() }
            }
        }
    }

    /// Asserts that a statement is refused with this SQLSTATE and this DETAIL.
    #[track_caller]
    pub fn is_refused(&mut self, sql: &str, sqlstate: &str, detail: &str) {
        assert_eq!(self.refused(sql), Refusal { sqlstate: sqlstate.to_owned(), detail: detail.to_owned() }, "{sql}");
    }

    /// Asserts that a statement returns an answer with this code.
    #[track_caller]
    pub fn is_answered(&mut self, sql: &str, code: &str) {
        let answer = self.json(sql);
        assert_eq!(answer["code"], code, "{sql}: {answer}");
    }

    /// True while the connection's session is good.
    pub fn is_signed_in(&mut self) -> bool {
        self.one::<Option<Uuid>>("select auth.uid()").is_some()
    }
}
