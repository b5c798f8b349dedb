//! Work that waits: first come, first served for one client, and clients take turns.

use std::collections::VecDeque;

use crate::client::Client;

/// Work that waits.
pub(super) struct Turns<T> {
    /// Whose turn it is, and who follows; nobody is in it without work.
    clients: VecDeque<(Client, VecDeque<T>)>,
    len: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            clients: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Turns<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How much of it is this client's.
    pub(super) fn n_of(&self, client: Client) -> usize {
        let own = self.clients.iter().find(|(other, _)| *other == client);
        own.map_or(0, |(_, waiting)| waiting.len())
    }

    pub(super) fn push(&mut self, client: Client, work: T) {
        self.len += 1;
        let own = self.clients.iter_mut().find(|(other, _)| *other == client);
        match own {
            Some((_, waiting)) => waiting.push_back(work),
            None => self.clients.push_back((client, VecDeque::from([work]))),
        }
    }

    /// The first work of the client whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (client, mut waiting) = self.clients.pop_front()?;
        let work = waiting.pop_front()?;
        self.len -= 1;
        if !waiting.is_empty() {
            self.clients.push_back((client, waiting));
        }
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_does_not_wait_behind_somebody_elses_hundred() {
        let [many, one] = [1, 2].map(|last| Client::at([10, 0, 0, last].into()));
        let mut turns = Turns::default();
        for number in 0..100 {
            turns.push(many, number);
        }
        turns.push(one, 1_000);
        assert_eq!(
            (turns.len(), turns.n_of(many), turns.n_of(one)),
            (101, 100, 1)
        );
        let order: Vec<i32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order[..3], [0, 1_000, 1]);
        assert_eq!((order.len(), order[100]), (101, 99));
        assert_eq!((turns.len(), turns.n_of(many)), (0, 0));
    }
}
