//! Disjoint sets: recordings that belong together, joined pair by pair.

/// A forest in which every tree is a set of recordings.
pub(crate) struct DisjointSets {
    parent: Vec<usize>,
}

impl DisjointSets {
    /// Every one of `n` elements in a set of its own.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            parent: (0..n).collect(),
        }
    }

    /// Makes one set of the sets that hold `a` and `b`.
    ///
    /// The smaller root becomes the parent, so that the outcome does not depend
    /// on the order of the joins.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Joins each element with the first that has the same key.
    pub(crate) fn join_equal<K: std::hash::Hash + Eq>(
        &mut self,
        keys: impl IntoIterator<Item = (usize, K)>,
    ) {
        let mut first = std::collections::HashMap::new();
        for (element, key) in keys {
            let earlier = *first.entry(key).or_insert(element);
            self.join(earlier, element);
        }
    }

    /// A number for each element's set, counted from 0 in the order of the
    /// elements.
    pub(crate) fn numbers(&mut self) -> Vec<usize> {
        let mut number_of = std::collections::HashMap::new();
        (0..self.parent.len())
            .map(|element| {
                let next = number_of.len();
                *number_of.entry(self.root(element)).or_insert(next)
            })
            .collect()
    }

    fn root(&mut self, mut element: usize) -> usize {
        while self.parent[element] != element {
            self.parent[element] = self.parent[self.parent[element]];
            element = self.parent[element];
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_reach_through_third_elements() {
        let mut sets = DisjointSets::new(6);
        sets.join(4, 1);
        sets.join(5, 4);
        sets.join(3, 3);
        assert_eq!(sets.numbers(), [0, 1, 2, 3, 1, 1]);
    }

    #[test]
    fn equal_keys_join() {
        let mut sets = DisjointSets::new(4);
        sets.join_equal([(0, "x"), (2, "y"), (3, "x")]);
        assert_eq!(sets.numbers(), [0, 1, 2, 0]);
    }
}
