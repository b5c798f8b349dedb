//! Who asks, as far as sharing fairly needs to know: an address, no identity.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Extensions, HeaderMap};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(Option<IpAddr>);

impl Client {
    /// Requests without a connection, as tests make them.
    pub(crate) const UNKNOWN: Self = Self(None);

    /// Somebody at this address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self(Some(address.to_canonical()))
    }

    /// Whether a proxy of this machine may speak for many here.
    pub(crate) fn is_local(self) -> bool {
        self.0.is_none_or(|address| address.is_loopback())
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

/// How much of something each client holds.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<HashMap<Client, u64>>>);

/// What a client holds; given back when this is dropped.
pub(crate) struct Held {
    tally: Tally,
    client: Client,
    n: u64,
}

impl Tally {
    /// Gives a client `n` more, unless it would then have more than `most`.
    pub(crate) fn hold(&self, client: Client, n: u64, most: u64) -> Option<Held> {
        let mut tally = self.lock();
        let held = tally.get(&client).copied().unwrap_or(0) + n;
        if held > most {
            return None;
        }
        tally.insert(client, held);
        drop(tally);
        let tally = self.clone();
        Some(Held { tally, client, n })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, u64>> {
        // Every change is a single one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut tally = self.tally.lock();
        if let Some(held) = tally.get_mut(&self.client) {
            *held -= self.n;
            if *held == 0 {
                tally.remove(&self.client);
            }
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
    fn a_client_holds_at_most_its_part_and_gives_it_back() {
        let [one, other] = [1, 2].map(|last| Client::at([10, 0, 0, last].into()));
        let tally = Tally::default();
        let first = tally.hold(one, 3, 5).expect("there is room");
        assert!(tally.hold(one, 3, 5).is_none());
        assert!(tally.hold(other, 5, 5).is_some(), "each has its own");
        drop(first);
        assert!(tally.hold(one, 5, 5).is_some());
        assert!(tally.lock().is_empty());
    }

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
