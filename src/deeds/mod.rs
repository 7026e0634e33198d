//! What more than one public function does.

pub mod attributes;
pub mod bans;
pub mod mail;
pub mod roles;
pub mod sessions;
