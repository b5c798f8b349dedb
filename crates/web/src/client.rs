//! Who asks, as far as sharing fairly needs to know: an address, no identity.

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(Option<IpAddr>);

impl Client {
    /// Requests without a connection, as tests make them.
    pub(crate) const UNKNOWN: Self = Self(None);

    /// Somebody at this address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self(Some(address.to_canonical()))
    }

    /// Who sent this request.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let peer = extensions.get().copied().unwrap_or(Self::UNKNOWN);
        match peer.0 {
            // A proxy on this machine; the last address is the one that it has seen
            // itself. Somebody else could pretend to be many.
            Some(address) if address.is_loopback() => forwarded(headers).unwrap_or(peer),
            _ => peer,
        }
    }
}

fn forwarded(headers: &HeaderMap) -> Option<Client> {
    let list = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = list.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok().map(Client::at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_of_this_machine_is_believed() {
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().expect("a name"),
            "203.0.113.9, 192.0.2.7".parse().expect("a value"),
        )]);
        for (peer, expected) in [
            ([127, 0, 0, 1], [192, 0, 2, 7]),
            ([198, 51, 100, 1], [198, 51, 100, 1]),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(Client::at(peer.into()));
            let client = Client::of(&extensions, &headers);
            assert_eq!(client, Client::at(expected.into()));
            let direct = Client::of(&extensions, &HeaderMap::new());
            assert_eq!(direct, Client::at(peer.into()));
        }
    }
}
