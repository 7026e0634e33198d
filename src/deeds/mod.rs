//! What more than one public function does.

pub mod bans;
pub mod roles;
