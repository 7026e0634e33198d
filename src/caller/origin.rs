//! Where a call comes from.

use crate::backend::state;
use crate::config;
use crate::domain::address;
use crate::error::Result;
use crate::store::callers;
use std::net::IpAddr;

/// Where a call comes from, as far as it can be believed.
pub struct Origin {
    /// What attempts are counted by and what is recorded as the address.
    pub address: Option<IpAddr>,
    /// What the caller only says.
    pub claimed: Option<IpAddr>,
    /// The program, as it calls itself.
    pub agent: Option<String>,
}

impl Origin {
    /// Reads the arguments `ip_address` and `user_agent`. An address is believed from those who stand between the client and
    /// us; anybody else could dodge the throttle, or frame somebody, by naming another one with each attempt.
    pub fn new(ip_address: Option<&str>, user_agent: Option<String>) -> Result<Self> {
        let given = address::ip_address(ip_address)?;
        let agent = address::user_agent(user_agent);
        let behind_gateway = config::is_trusted_gateway(&state::session_user());
        let believed = match (behind_gateway, state::request_method()) {
            (true, Some(_)) => false,
            (true, None) => true,
            (false, _) => state::is_trusted_role(),
        };
        Ok(if believed {
            Origin { address: given, claimed: None, agent }
        } else {
            Origin { claimed: given, agent, ..Self::of_connection() }
        })
    }

    /// That of the connection. A gateway's own address says nothing about who is behind it.
    pub fn of_connection() -> Self {
        let behind_gateway = config::is_trusted_gateway(&state::session_user());
        let address = if behind_gateway { None } else { callers::connection_address() };
        Origin { address, claimed: None, agent: None }
    }
}
