//! Where a call comes from.

use crate::backend::{request, state};
use crate::config;
use crate::domain::address;
use crate::error::Result;
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
        let connection = Self::of_connection();
        let agent = address::user_agent(user_agent).or(connection.agent);
        // Within a request the arguments are the client's own.
        let believed = if request::is_behind_gateway() { request::current().is_none() } else { state::is_trusted_role() };
        Ok(if believed {
            Origin { address: given, claimed: None, agent }
        } else {
            Origin { address: connection.address, claimed: given, agent }
        })
    }

    /// That of the connection; of the request where a gateway makes one. A gateway's own address says nothing about who is behind it.
    pub fn of_connection() -> Self {
        if !request::is_behind_gateway() {
            return Origin { address: state::client_address(), claimed: None, agent: None };
        }
        if request::current().is_none() {
            return Origin { address: None, claimed: None, agent: None };
        }
        let header = config::client_address_header().and_then(|name| request::header(&name));
        Origin {
            address: header.and_then(|header| address::forwarded_address(&header)),
            claimed: None,
            agent: address::user_agent(request::header("user-agent")),
        }
    }
}
