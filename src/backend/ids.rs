//! The server's uuids and those of everybody else, who need no server.

/// As the pure code has it.
pub fn pure(id: pgrx::Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}

/// As the server has it.
pub fn servers(id: uuid::Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}
