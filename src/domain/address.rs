//! The address and the program that a client claims to come from.

use crate::error::{Result, invalid};
use std::net::IpAddr;

/// Longest user agent that is kept; browsers' are below 300 characters, and it is free text from anybody.
const MAX_USER_AGENT: usize = 512;

/// The `ip_address` argument, or INVALID_ARGUMENT.
pub fn ip_address(text: Option<&str>) -> Result<Option<IpAddr>> {
    text.map(|text| text.parse().map_err(|_| invalid("ip_address"))).transpose()
}

/// The `user_agent` argument, cut.
pub fn user_agent(text: Option<String>) -> Option<String> {
    text.map(|text| match text.char_indices().nth(MAX_USER_AGENT) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    })
}

/// The client's address in a gateway's header, with or without a port. In a list it is the last: that one our own proxy has
/// written, whereas those before it the client may have sent along.
pub fn forwarded_address(header: &str) -> Option<IpAddr> {
    let last = header.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(last);
    bare.parse().ok().or_else(|| last.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Whether a browser that names this origin (RFC 6454) speaks from the server's own host, or from one of those that are trusted.
pub fn is_own_origin(origin: &str, host: Option<&str>, trusted: &[String]) -> bool {
    let same_host = origin.split_once("://").zip(host).is_some_and(|((_, of_origin), host)| of_origin.eq_ignore_ascii_case(host));
    same_host || trusted.iter().any(|trusted| !trusted.is_empty() && trusted.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_forwarded_addresses_counts() {
        for (header, address) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("10.0.0.1, 203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:4711", Some("203.0.113.7")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("203.0.113.7,", None),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(forwarded_address(header), address.map(|address| address.parse().unwrap()), "{header}");
        }
    }

    #[test]
    fn an_origin_is_the_hosts_own_or_trusted() {
        let trusted = ["https://app.example.com".to_owned(), String::new()];
        for (origin, own) in [
            ("https://api.example.com", true),
            ("http://API.example.com", true),
            ("https://app.example.com", true),
            ("http://app.example.com", false),
            ("https://api.example.com.evil.example", false),
            ("https://evil.example", false),
            ("https://api.example.com:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_own_origin(origin, Some("api.example.com"), &trusted), own, "{origin}");
        }
        assert!(!is_own_origin("https://api.example.com", None, &[]));
    }
}
